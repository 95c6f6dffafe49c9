"""Operations to approve or refuse versions before their promotion."""

from common_lib.operations.answers import about
from common_lib.operations.base import Operation, json_reader, path, request_body, validate, write_headers
from common_lib.rules.lifecycle import Verdict
from common_lib.rules.names import check_model_name
from common_lib.types.approvals import Approval, VerdictRequest

_approval = json_reader(Approval)
_approvals = json_reader(list[Approval])


def list_of_version(name: str, version: int) -> Operation[list[Approval]]:
    """List the latest verdict of each human about a version, sorted by name; void verdicts are included."""
    return Operation("GET", _path(name, version), _approvals)


def approve(name: str, version: int, *, reason: str) -> Operation[Approval]:
    """Approve a version; the approval becomes void when the version or the policy changes.

    Raises:
        DecisionNotAllowed: the caller is a service, or registered the version.
        AlreadyDecided: the caller has already approved this version under this policy.
    """
    return _decide(name, version, Verdict.APPROVED, reason)


def refuse(name: str, version: int, *, reason: str) -> Operation[Approval]:
    """Refuse a version. It cannot be promoted until the caller approves it, or until the version or the policy changes.

    Raises:
        DecisionNotAllowed: the caller is a service, or registered the version.
        AlreadyDecided: the caller has already refused this version under this policy.
    """
    return _decide(name, version, Verdict.REFUSED, reason)


def _decide(name: str, version: int, verdict: Verdict, reason: str) -> Operation[Approval]:
    body = request_body(VerdictRequest, verdict=verdict, reason=reason)
    read = about(_approval, model=name, version=version, verdict=verdict)
    return Operation("POST", _path(name, version), read, "write", body=body, headers=write_headers())


def _path(name: str, version: int) -> str:
    return path("models", validate(check_model_name, name), "versions", version, "approvals")
