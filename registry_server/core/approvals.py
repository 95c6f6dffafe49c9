"""Approvals and refusals of versions by humans."""

from typing import Final

from common_lib.rules import lifecycle, names
from common_lib.rules.access import PrincipalKind
from common_lib.rules.lifecycle import Verdict
from registry_server.core import changes, policies, versions
from registry_server.core.ports import Database
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import Outcome, WriteRequest
from registry_server.domain import errors
from registry_server.domain.approvals import Approval, VerdictRequest, subject_digest
from registry_server.domain.versions import ModelVersion
from registry_server.queries import Records

_EVENTS: Final = {Verdict.APPROVED: "approval.given", Verdict.REFUSED: "approval.refused"}


def key(model: str, version: int, approver: str) -> str:
    """Return the key that identifies an approval in events."""
    return f"{versions.key(model, version)}/approvals/{approver}"


async def list_of_version(database: Database, caller: Caller, name: str, version: int) -> list[Approval]:
    """Return the latest verdict of each human about a version, sorted by the name of the human."""
    await versions.get(database, caller, name, version)
    return await database.read.approvals.list_of_version(name, version)


async def decide(
    records: Records, request: WriteRequest, name: str, version: int, command: VerdictRequest
) -> Outcome[Approval]:
    """Approve or refuse a version; the verdict replaces an earlier one of the same human."""
    found = await versions.get_for_update(records, request, Right.APPROVE, name, version)
    _check_human(request.caller, found)
    versions.check_not_recalled(found)
    lifecycle.check_reason(command.reason, "an approval or a refusal")
    names.check_text("reason", command.reason, names.REASON_LENGTH)
    policy = await policies.get_effective(records, name)
    approver, subject = request.caller.name, subject_digest(found, policy)
    before = await records.approvals.find(name, version, approver)
    if before is not None and (before.verdict, before.subject) == (command.verdict, subject):
        raise errors.AlreadyDecided(before)
    if before is None and len(await records.approvals.list_of_version(name, version)) >= lifecycle.MAX_VERDICTS:
        raise errors.TooManyVerdicts(command.verdict, version)
    after = Approval(name, version, approver, command.verdict, command.reason, subject, policy.revision, request.at)
    await records.approvals.put(after)
    kind, key_of_approval = _EVENTS[command.verdict], key(name, version, approver)
    if before is None:
        change = changes.created(kind, key_of_approval, after, reason=command.reason)
    else:
        change = changes.changed(kind, (key_of_approval, before, after), reason=command.reason)
    return Outcome(after, change, status=201)


def _check_human(caller: Caller, version: ModelVersion) -> None:
    if caller.principal.kind is not PrincipalKind.HUMAN:
        raise errors.HumanRequired(caller.principal)
    if caller.name == version.created_by:
        raise errors.SelfApproval(version)
