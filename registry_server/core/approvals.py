"""Approvals: humans approve a version or refuse it."""

from typing import Final

from common_lib.rules import lifecycle, names
from common_lib.rules.access import PrincipalKind
from common_lib.rules.codes import Code
from common_lib.rules.lifecycle import Verdict
from common_lib.rules.violation import RuleViolation
from registry_server.core import changes, policies, versions
from registry_server.core.ports import Database, Records
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import Outcome, WriteRequest
from registry_server.domain.approvals import Approval, VerdictRequest, subject_digest
from registry_server.domain.errors import Conflict, Forbidden
from registry_server.domain.versions import ModelVersion

_EVENTS: Final = {Verdict.APPROVED: "approval.given", Verdict.REFUSED: "approval.refused"}


def key(model: str, version: int, approver: str) -> str:
    """The key of an approval in events."""
    return f"{versions.key(model, version)}/approvals/{approver}"


async def list_all(database: Database, caller: Caller, name: str, version: int) -> list[Approval]:
    """The last word of each human about a version, by name."""
    await versions.get(database, caller, name, version)
    return await database.read.approvals.list_of_version(name, version)


async def decide(
    records: Records, request: WriteRequest, name: str, version: int, command: VerdictRequest
) -> Outcome[Approval]:
    """Approve a version, or refuse it; the last word of a human counts."""
    found = await versions.get_for_update(records, request, Right.APPROVE, name, version)
    _check_may(request.caller, found)
    versions.refuse_recalled(found)
    lifecycle.check_reason(command.reason, "an approval or a refusal")
    names.check_text("reason", command.reason, names.REASON_LENGTH)
    policy = await policies.get_effective(records, name)
    approver, subject = request.caller.name, subject_digest(found, policy)
    before = await records.approvals.find(name, version, approver)
    if before is not None and (before.verdict, before.subject) == (command.verdict, subject):
        raise Conflict(
            f"{approver} has {command.verdict} version {version} of {name!r} already: {before.reason}",
            remedy="it still holds; more approvals are those of others",
            field="verdict",
            value=str(command.verdict),
            code="already_decided",
        )
    if before is None and len(await records.approvals.list_of_version(name, version)) >= lifecycle.MAX_VERDICTS:
        raise RuleViolation(
            Code.TOO_MANY_ENTRIES,
            field="verdict",
            value=str(command.verdict),
            why=f"would be of one more than the {lifecycle.MAX_VERDICTS} humans who decided about version {version}",
            remedy="let one of them decide again, or register the files as a new version",
        )
    after = Approval(name, version, approver, command.verdict, command.reason, subject, policy.revision, request.at)
    await records.approvals.put(after)
    kind, place = _EVENTS[command.verdict], key(name, version, approver)
    if before is None:
        change = changes.created(kind, place, after, reason=command.reason)
    else:
        change = changes.changed(kind, (place, before, after), reason=command.reason)
    return Outcome(after, change, status=201)


def _check_may(caller: Caller, version: ModelVersion) -> None:
    if caller.principal.kind is not PrincipalKind.HUMAN:
        raise Forbidden(
            f"{caller.name} is a service, and only a human can decide this",
            remedy="let a human do it with a token of their own",
            field="kind",
            value=str(caller.principal.kind),
            code="human_required",
        )
    if caller.name == version.created_by:
        raise Forbidden(
            f"{caller.name} registered version {version.version} of {version.model!r}",
            remedy="let another human decide about it",
            field="version",
            value=version.version,
            code="self_approval",
        )
