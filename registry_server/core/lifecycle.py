"""The way of versions: from stage to stage, to production and back, recalled and reinstated, out of use for good."""

from typing import Any, NamedTuple

import msgspec

from common_lib.rules import lifecycle, names, references
from common_lib.rules.lifecycle import ModelStage
from registry_server.core import changes, models, promotion, timeline, versions
from registry_server.core.ports import Records
from registry_server.core.rights import Right
from registry_server.core.writes import Need, Outcome, WriteRequest
from registry_server.domain.base import Tombstone, TombstoneRequest
from registry_server.domain.errors import Conflict, InvalidRequest
from registry_server.domain.production import RollbackRequest
from registry_server.domain.versions import ModelVersion, Recall, RecallRequest, TransitionRequest

_Step = tuple[ModelVersion, ModelVersion]


class _Deed(NamedTuple):
    """What is done, why, and what it rests on."""

    event: str
    reason: str
    more: dict[str, Any] = {}  # noqa: RUF012 - never changed


def needs(name: str, command: TransitionRequest) -> tuple[Need, ...]:
    """Return the rights that a move takes: that to its stage, and that to promote against the policy."""
    moving = (Right(lifecycle.right_to(command.to)), name)
    return (moving, (Right.OVERRIDE, name)) if command.override else (moving,)


async def transition(
    records: Records,
    request: WriteRequest,
    name: str,
    version: int,
    command: TransitionRequest,
    *,
    files: promotion.FilesFound | None = None,
) -> Outcome[ModelVersion]:
    """Move a version to another stage; the version it replaces in production is archived in the same transaction.

    `files` is what `promotion.foresee` found; without it the transaction itself looks for the files.
    """
    found = await versions.live(records, request, Right(lifecycle.right_to(command.to)), name, version)
    await versions.check_revision(records, request, found, command.reason)
    move = lifecycle.check_transition(found.stage, command.to, command.reason)
    if command.to is not ModelStage.ARCHIVED:
        versions.refuse_recalled(found)
    after = versions.changed(request, found, stage=command.to)
    if command.to is not ModelStage.PRODUCTION:
        _check_plain(command)
        return await _moved(records, request, _Deed(move.event, command.reason), (found, after))
    incumbent = await _incumbent(records, request, name, command.replacing)
    judged = await promotion.judge(records, request, found, incumbent, override=command.override, files=files or {})
    deed = _Deed(move.event, command.reason, judged)
    return await _moved(records, request, deed, *_with_demoted(request, (found, after), incumbent))


async def rollback(
    records: Records, request: WriteRequest, name: str, command: RollbackRequest
) -> Outcome[ModelVersion]:
    """Return to the version that was in production before, and archive the one that is there, in one transaction."""
    await models.live(records, request, Right.PROMOTE, name)
    lifecycle.check_reason(command.reason, "a rollback")
    names.check_text("reason", command.reason, names.REASON_LENGTH)
    incumbent = await _incumbent(records, request, name, command.replacing)
    if incumbent is not None and request.if_match is not None:
        await versions.check_revision(records, request, incumbent, command.reason)
    elif request.if_match is not None:
        request.check_revision(0, command.reason)
    back = await timeline.predecessor(records, name)
    if back is None:
        raise Conflict(
            f"no version of {name!r} was in production before that could be again",
            remedy="promote a version from staging; one that was archived can be moved to staging first",
            field="name",
            value=name,
            code="nothing_to_return_to",
        )
    tenure, found = back
    after = versions.changed(request, found, stage=ModelStage.PRODUCTION)
    deed = _Deed("version.rolled_back", command.reason, {"restored": tenure.sequence})
    return await _moved(records, request, deed, *_with_demoted(request, (found, after), incumbent))


async def recall(
    records: Records, request: WriteRequest, name: str, version: int, command: RecallRequest
) -> Outcome[ModelVersion]:
    """Block a version for everyone, whatever its stage; it stays where it is."""
    found = await versions.live(records, request, Right.RECALL, name, version)
    lifecycle.check_reason(command.reason, "a recall")
    await versions.check_revision(records, request, found, command.reason)
    versions.refuse_recalled(found)
    after = versions.changed(request, found, recall=Recall(request.at, request.caller.name, command.reason))
    return await _moved(records, request, _Deed("version.recalled", command.reason), (found, after))


async def reinstate(
    records: Records, request: WriteRequest, name: str, version: int, command: RecallRequest
) -> Outcome[ModelVersion]:
    """Lift the block of a recalled version; a decision of its own."""
    found = await versions.live(records, request, Right.RECALL, name, version)
    lifecycle.check_reason(command.reason, "lifting a recall")
    await versions.check_revision(records, request, found, command.reason)
    if found.recall is None:
        raise Conflict(
            f"version {version} of {name!r} is not recalled",
            remedy="there is nothing to lift",
            field="version",
            value=version,
            code="illegal_transition",
        )
    after = versions.changed(request, found, recall=None)
    return await _moved(records, request, _Deed("version.reinstated", command.reason), (found, after))


async def tombstone(
    records: Records, request: WriteRequest, name: str, version: int, command: TombstoneRequest
) -> Outcome[ModelVersion]:
    """Take a version out of use; its number is never given again, its manifest stays."""
    found = await versions.live(records, request, Right.TOMBSTONE, name, version)
    await versions.check_revision(records, request, found, command.reason)
    lifecycle.check_reason(command.reason, "a tombstone")
    if found.stage is ModelStage.PRODUCTION:
        raise Conflict(
            f"version {version} of {name!r} is in production",
            remedy="promote another version or archive this one first",
            field="version",
            value=version,
            code="version_in_production",
        )
    pointing = await records.aliases.list_of_version(name, version)
    if pointing:
        raise Conflict(
            f"aliases point at version {version} of {name!r}: {', '.join(pointing)}",
            remedy="move or delete them first",
            field="version",
            value=version,
            code="version_aliased",
        )
    after = versions.changed(request, found, tombstone=Tombstone(request.at, request.caller.name, command.reason))
    return await _moved(records, request, _Deed("version.tombstoned", command.reason), (found, after))


def _check_plain(command: TransitionRequest) -> None:
    if command.override or command.replacing is not None:
        raise InvalidRequest(
            f"a move to {command.to} has nothing to override and replaces nothing",
            remedy="leave out override and replacing: they concern production",
            field="override" if command.override else "replacing",
            value="true" if command.override else command.replacing,
        )


async def _incumbent(records: Records, request: WriteRequest, name: str, replacing: int | None) -> ModelVersion | None:
    """The version in production, if it is the one that the caller saw there.

    Raises:
        Conflict: it is another one, or none.
    """
    incumbent = await records.versions.find_in_production(name)
    number = None if incumbent is None else incumbent.version
    if number == replacing or request.forced:
        return incumbent
    won = await timeline.incumbent_by(records, name)
    told = "" if won is None else f"; {won.by} decided so at {references.written(won.at)}: {won.reason}"
    seen = "none" if replacing is None else f"version {replacing}"
    raise Conflict(
        f"{'no version' if number is None else f'version {number}'} of {name!r} is in production, not {seen}{told}",
        remedy="look at it and decide again; then say by `replacing` what is in production",
        field="replacing",
        value=replacing,
        code="production_changed",
        winner=won,
    )


def _with_demoted(request: WriteRequest, promoted: _Step, incumbent: ModelVersion | None) -> list[_Step]:
    if incumbent is None:
        return [promoted]
    return [promoted, (incumbent, versions.changed(request, incumbent, stage=ModelStage.ARCHIVED))]


async def _moved(records: Records, request: WriteRequest, deed: _Deed, *steps: _Step) -> Outcome[ModelVersion]:
    """What was decided, stored; the last step first, so that production is free for the one that enters it."""
    for before, after in reversed(steps):
        await versions.store(records, before, after)
    told = [versions.step(before, after) for before, after in steps]
    change = changes.changed(deed.event, *told, reason=deed.reason, forced=request.forced)
    return Outcome(steps[0][1], msgspec.structs.replace(change, more=deed.more))
