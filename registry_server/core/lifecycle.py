"""Use cases for the lifecycle: move a version to a stage other than production, recall it, and reinstate it."""

from common_lib.rules import lifecycle
from common_lib.rules.lifecycle import ModelStage
from registry_server.core import versions
from registry_server.core.rights import Right
from registry_server.core.writes import Need, Outcome, WriteRequest
from registry_server.domain import errors
from registry_server.domain.versions import ModelVersion, Recall, RecallRequest, TransitionRequest
from registry_server.queries import Records


def required_rights(name: str, command: TransitionRequest) -> tuple[Need, ...]:
    """Return the rights that a transition needs: one for its target stage, and one more to override the policy."""
    target = (Right(lifecycle.right_to(command.to)), name)
    return (target, (Right.OVERRIDE, name)) if command.override else (target,)


async def transition(
    records: Records, request: WriteRequest, name: str, version: int, command: TransitionRequest
) -> Outcome[ModelVersion]:
    """Move a version to a stage other than production; `production.promote` moves versions to production."""
    found = await versions.get_for_update(records, request, Right(lifecycle.right_to(command.to)), name, version)
    await versions.check_revision(records, request, found, command.reason)
    move = lifecycle.check_transition(found.stage, command.to, command.reason)
    if command.to is not ModelStage.ARCHIVED:
        versions.check_not_recalled(found)
    if command.override:
        raise errors.OnlyForPromotions("override", "true", command.to)
    if command.replacing is not None:
        raise errors.OnlyForPromotions("replacing", command.replacing, command.to)
    after = versions.with_next_revision(request, found, stage=command.to)
    return await versions.store(records, request, move.event, (found, after), reason=command.reason)


async def recall(
    records: Records, request: WriteRequest, name: str, version: int, command: RecallRequest
) -> Outcome[ModelVersion]:
    """Recall a version: block it for everyone. Its stage does not change."""
    found = await versions.get_for_update(records, request, Right.RECALL, name, version)
    lifecycle.check_reason(command.reason, "a recall")
    await versions.check_revision(records, request, found, command.reason)
    versions.check_not_recalled(found)
    recalled = Recall(request.at, request.caller.name, command.reason)
    after = versions.with_next_revision(request, found, recall=recalled)
    return await versions.store(records, request, "version.recalled", (found, after), reason=command.reason)


async def reinstate(
    records: Records, request: WriteRequest, name: str, version: int, command: RecallRequest
) -> Outcome[ModelVersion]:
    """Lift the recall of a version."""
    found = await versions.get_for_update(records, request, Right.RECALL, name, version)
    lifecycle.check_reason(command.reason, "lifting a recall")
    await versions.check_revision(records, request, found, command.reason)
    if found.recall is None:
        raise errors.VersionNotRecalled(found)
    after = versions.with_next_revision(request, found, recall=None)
    return await versions.store(records, request, "version.reinstated", (found, after), reason=command.reason)
