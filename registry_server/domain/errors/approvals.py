"""Errors of requests to approve or to refuse a version."""

from common_lib.rules import lifecycle
from common_lib.rules.codes import Code
from registry_server.domain.approvals import Approval
from registry_server.domain.errors.base import RegistryError
from registry_server.domain.principals import Principal
from registry_server.domain.versions import ModelVersion


class HumanRequired(RegistryError, code=Code.HUMAN_REQUIRED, field="kind"):
    """A service cannot approve or refuse a version."""

    remedy = "ask a human to send this request with their own token"

    def __init__(self, principal: Principal) -> None:
        super().__init__(str(principal.kind), f"{principal.name} is a service, but only a human can approve or refuse")


class SelfApproval(RegistryError, code=Code.SELF_APPROVAL, field="version"):
    """The caller registered the version and therefore cannot approve or refuse it."""

    remedy = "ask another human to approve or refuse the version"

    def __init__(self, found: ModelVersion) -> None:
        detail = f"{found.created_by} registered version {found.version} of {found.model!r} and cannot decide about it"
        super().__init__(found.version, detail)


class AlreadyDecided(RegistryError, code=Code.ALREADY_DECIDED, field="verdict"):
    """The caller has already given this verdict, and neither the version nor the policy has changed since."""

    remedy = "the verdict is still valid; if more approvals are needed, ask other humans to approve"

    def __init__(self, before: Approval) -> None:
        version = f"version {before.version} of {before.model!r}"
        detail = f"{before.approver} has already {before.verdict} {version}: {before.reason}"
        super().__init__(str(before.verdict), detail)


class TooManyVerdicts(RegistryError, code=Code.TOO_MANY_ENTRIES, field="verdict"):
    """The version already has the maximum number of verdicts."""

    remedy = "ask one of these humans to decide again, or register the files as a new version"

    def __init__(self, verdict: lifecycle.Verdict, version: int) -> None:
        super().__init__(str(verdict), f"{lifecycle.MAX_VERDICTS} humans have already decided about version {version}")
