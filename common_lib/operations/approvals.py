"""Approvals: what humans say of a version that is to be promoted."""

from common_lib.operations.answers import about
from common_lib.operations.base import Operation, checked, given, path, reads, unsafe
from common_lib.rules.lifecycle import Verdict
from common_lib.rules.names import check_model_name
from common_lib.types.approvals import Approval, VerdictRequest

_approval = reads(Approval)
_approvals = reads(list[Approval])


def of_version(name: str, version: int) -> Operation[list[Approval]]:
    """The last word of each human about a version, by name; void ones too."""
    return Operation("GET", _path(name, version), _approvals)


def approve(name: str, version: int, *, reason: str) -> Operation[Approval]:
    """The approval of a version by a human other than its author; void once what is approved has changed.

    Raises:
        DecisionNotAllowed: the caller is a service, or registered the version.
        AlreadyDecided: the caller has approved it, and nothing has changed since.
    """
    return _decided(name, version, Verdict.APPROVED, reason)


def refuse(name: str, version: int, *, reason: str) -> Operation[Approval]:
    """The refusal of a version, which stands in the way until whoever refused approves, or the version changes.

    Raises:
        DecisionNotAllowed: the caller is a service, or registered the version.
        AlreadyDecided: the caller has refused it, and nothing has changed since.
    """
    return _decided(name, version, Verdict.REFUSED, reason)


def _decided(name: str, version: int, verdict: Verdict, reason: str) -> Operation[Approval]:
    body = given(VerdictRequest, verdict=verdict, reason=reason)
    read = about(_approval, model=name, version=version, verdict=verdict)
    return Operation("POST", _path(name, version), read, "write", body=body, headers=unsafe())


def _path(name: str, version: int) -> str:
    return path("models", checked(check_model_name, name), "versions", version, "approvals")
