"""Stages of a model version and the moves between them, as data."""

from enum import StrEnum
from typing import Final

from common_lib.rules.violation import RuleViolation


class ModelType(StrEnum):
    """What kind of question a registered model answers."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    FORECASTING = "forecasting"
    REINFORCEMENT = "reinforcement"
    ANOMALY_DETECTION = "anomaly_detection"
    TIME_SERIES = "time_series"


class ModelStage(StrEnum):
    """Where a version stands on its way to production and out of it."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


TRANSITIONS: Final = {
    ModelStage.DEVELOPMENT: frozenset({ModelStage.STAGING, ModelStage.ARCHIVED}),
    ModelStage.STAGING: frozenset({ModelStage.PRODUCTION, ModelStage.ARCHIVED}),
    ModelStage.PRODUCTION: frozenset({ModelStage.ARCHIVED}),
    ModelStage.ARCHIVED: frozenset({ModelStage.STAGING}),
}
NEEDS_REASON: Final = frozenset({ModelStage.PRODUCTION, ModelStage.ARCHIVED})


def check_transition(current: ModelStage, target: ModelStage, reason: str) -> None:
    """A move is legal if `TRANSITIONS` has it; promoting and archiving need a reason.

    Raises:
        RuleViolation: `illegal_transition` names the moves there are; `reason_required` asks for one.

    >>> check_transition(ModelStage.DEVELOPMENT, ModelStage.STAGING, "")
    """
    legal = TRANSITIONS[current]
    if target not in legal:
        raise RuleViolation(
            "illegal_transition",
            field="to",
            value=str(target),
            why=f"cannot be reached from {current}",
            remedy=f"from {current} a version can move to {' or '.join(sorted(legal))}",
        )
    if target in NEEDS_REASON:
        check_reason(reason, f"moving to {target}")


def check_reason(reason: str, act: str) -> None:
    """Acts that somebody will ask about later carry a reason."""
    if not reason.strip():
        raise RuleViolation(
            "reason_required",
            field="reason",
            value=reason,
            why=f"is empty, and {act} needs one",
            remedy="say why in a sentence; it is kept in the audit log",
        )
