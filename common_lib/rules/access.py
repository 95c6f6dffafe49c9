"""Who the registry knows: kinds of principals, and their roles."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

from common_lib.rules import facts
from common_lib.rules.codes import Code
from common_lib.rules.violation import RuleViolation

MAX_TOKEN_DAYS: Final = 3_650
MAX_GRANTS: Final = 100


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


class Grant(Protocol):
    """A role on the models whose name fits a pattern."""

    @property
    def role(self) -> Role:
        """The role."""

    @property
    def models(self) -> str:
        """The pattern; capitals make no difference."""


def check_grants(grants: Sequence[Grant]) -> None:
    """Refuse more than 100 grants, and one role twice on the same models.

    Raises:
        RuleViolation: naming the place.
    """
    if len(grants) > MAX_GRANTS:
        raise RuleViolation(
            Code.INVALID_REQUEST,
            field="grants",
            value=len(grants),
            why=f"there are more than {MAX_GRANTS} grants",
            remedy="cover several models with one pattern, such as 'eurusd-*'",
        )
    given = [f"{grant.role} on {grant.models.lower()}" for grant in grants]
    facts.check_unique("grants", given, "is granted twice", code=Code.DUPLICATE_ENTRY)
