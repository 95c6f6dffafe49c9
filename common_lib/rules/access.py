"""Kinds of principals, their roles, and limits of their grants."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from common_lib.rules import facts
from common_lib.rules.codes import Code
from common_lib.rules.violation import RuleViolation

MAX_TOKEN_DAYS: Final = 3_650
MAX_GRANTS: Final = 100


class PrincipalKind(StrEnum):
    """Kind of a principal: only humans approve and refuse."""

    HUMAN = "human"
    SERVICE = "service"


class Role(StrEnum):
    """A role of a principal; `core.rights` lists the rights of each."""

    WORKBENCH = "workbench"
    INTEGRATION = "integration"
    ANALYSIS = "analysis"
    STRATEGY = "strategy"
    AUDITOR = "auditor"
    ADMIN = "admin"


def check_grants(grants: Sequence[tuple[Role, str]]) -> None:
    """Refuse more than 100 grants, and the same role twice on the same models; a grant is a role and a pattern.

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
    given = [f"{role} on {models.lower()}" for role, models in grants]
    facts.check_unique("grants", given, "is granted twice", code=Code.DUPLICATE_ENTRY)
