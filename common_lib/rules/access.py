"""Who the registry knows: kinds of principals, and their roles."""

from enum import StrEnum
from typing import Final

MAX_TOKEN_DAYS: Final = 3_650


class PrincipalKind(StrEnum):
    """A human decides; a service acts."""

    HUMAN = "human"
    SERVICE = "service"


class Role(StrEnum):
    """What a principal is to the registry; `core.rights` says what each role may do."""

    WORKBENCH = "workbench"
    INTEGRATION = "integration"
    ANALYSIS = "analysis"
    STRATEGY = "strategy"
    AUDITOR = "auditor"
    ADMIN = "admin"
