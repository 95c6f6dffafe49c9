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
    """Kind of a principal. Only humans can approve or refuse a version."""

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
    """Check that there are at most 100 grants, and that no grant is listed twice; a grant is a role and a pattern.

    Raises:
        RuleViolation: there are too many grants, or two of them are equal; `field` contains the index.
    """
    if len(grants) > MAX_GRANTS:
        raise RuleViolation(
            Code.INVALID_REQUEST,
            field="grants",
            value=len(grants),
            why=f"there are more than {MAX_GRANTS} grants",
            remedy="grant a role on several models with one pattern, such as 'eurusd-*'",
        )
    given = [f"{role} on {models.lower()}" for role, models in grants]
    facts.check_unique("grants", given, "this grant is listed twice", code=Code.DUPLICATE_ENTRY)
