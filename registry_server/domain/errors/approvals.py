"""Errors of approvals and refusals."""

from common_lib.rules import lifecycle
from common_lib.rules.codes import Code
from registry_server.domain.approvals import Approval
from registry_server.domain.errors.base import RegistryError
from registry_server.domain.principals import Principal
from registry_server.domain.versions import ModelVersion


class HumanRequired(RegistryError, code=Code.HUMAN_REQUIRED, field="kind"):
    """A service cannot approve or refuse a version."""

    remedy = "let a human decide with their own token"

    def __init__(self, principal: Principal) -> None:
        super().__init__(str(principal.kind), f"{principal.name} is a service, and only a human can decide this")


class SelfApproval(RegistryError, code=Code.SELF_APPROVAL, field="version"):
    """The caller cannot decide about a version that they registered."""

    remedy = "let another human decide about it"

    def __init__(self, found: ModelVersion) -> None:
        detail = f"{found.created_by} registered version {found.version} of {found.model!r} and cannot decide about it"
        super().__init__(found.version, detail)


class AlreadyDecided(RegistryError, code=Code.ALREADY_DECIDED, field="verdict"):
    """The caller has already given this verdict, and nothing it covers has changed since."""

    remedy = "the verdict is still valid; if more approvals are needed, other humans have to give them"

    def __init__(self, before: Approval) -> None:
        version = f"version {before.version} of {before.model!r}"
        detail = f"{before.approver} has already {before.verdict} {version}: {before.reason}"
        super().__init__(str(before.verdict), detail)


class TooManyVerdicts(RegistryError, code=Code.TOO_MANY_ENTRIES, field="verdict"):
    """As many humans as possible have decided about the version."""

    remedy = "let one of them decide again, or register the files as a new version"

    def __init__(self, verdict: lifecycle.Verdict, version: int) -> None:
        super().__init__(str(verdict), f"{lifecycle.MAX_VERDICTS} humans have already decided about version {version}")
