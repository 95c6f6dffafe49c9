"""Stages of a model version and the moves between them, as data; docs/lifecycle.md is generated from it."""

from enum import Enum, StrEnum
from typing import Final, NamedTuple

from common_lib.rules import names
from common_lib.rules.codes import Code
from common_lib.rules.violation import RuleViolation

# The server returns these lists whole, without pages.
MAX_ALIASES: Final = 1_000
MAX_VERDICTS: Final = 1_000


class ModelType(StrEnum):
    """Kind of task that a registered model solves."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    FORECASTING = "forecasting"
    REINFORCEMENT = "reinforcement"
    ANOMALY_DETECTION = "anomaly_detection"
    TIME_SERIES = "time_series"


class ModelStage(StrEnum):
    """Stage of a version on its way to production and out of it."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


class OnRecall(StrEnum):
    """Behaviour of a moving reference whose version is recalled: refuse, or skip to the next version."""

    REFUSE = "refuse"
    SKIP = "skip"


class Replaced(Enum):
    """Marker for `replacing`: the version that is in production at the time of the call."""

    INCUMBENT = "whatever is in production just before"


class Verdict(StrEnum):
    """Decision of a human about a version that is to be promoted."""

    APPROVED = "approved"
    REFUSED = "refused"


class Move(NamedTuple):
    """One move between two stages: its name, the right it needs, its event, and whether it needs a reason."""

    name: str
    source: ModelStage
    target: ModelStage
    right: str
    event: str
    needs_reason: bool


_DEVELOPMENT, _STAGING, _PRODUCTION, _ARCHIVED = ModelStage
MOVES: Final = (
    Move("stage", _DEVELOPMENT, _STAGING, "stage", "version.staged", needs_reason=False),
    Move("promote", _STAGING, _PRODUCTION, "promote", "version.promoted", needs_reason=True),
    Move("archive", _DEVELOPMENT, _ARCHIVED, "promote", "version.archived", needs_reason=True),
    Move("archive", _STAGING, _ARCHIVED, "promote", "version.archived", needs_reason=True),
    Move("archive", _PRODUCTION, _ARCHIVED, "promote", "version.archived", needs_reason=True),
    Move("replace", _PRODUCTION, _ARCHIVED, "promote", "version.promoted", needs_reason=True),
    Move("restage", _ARCHIVED, _STAGING, "stage", "version.staged", needs_reason=False),
    Move("roll back", _ARCHIVED, _PRODUCTION, "promote", "version.rolled_back", needs_reason=True),
    Move("give way", _PRODUCTION, _ARCHIVED, "promote", "version.rolled_back", needs_reason=True),
)
# Moves that are part of another action, and cannot be requested as a transition.
_BY_ANOTHER_ACT: Final = frozenset({"replace", "roll back", "give way"})
# Events that appear in the history of a model: who, when, why.
DECISIONS: Final = frozenset(
    {
        "model.tombstoned",
        "version.staged",
        "version.promoted",
        "version.rolled_back",
        "version.archived",
        "version.recalled",
        "version.reinstated",
        "version.tombstoned",
        "approval.given",
        "approval.refused",
        "policy.set",
        "alias.set",
        "alias.moved",
        "alias.deleted",
    }
)


def check_transition(current: ModelStage, target: ModelStage, reason: str) -> Move:
    """Return the move from a stage to another, if a caller can request it.

    Raises:
        RuleViolation: `illegal_transition`, with the possible moves; `reason_required` without a reason.

    >>> check_transition(ModelStage.DEVELOPMENT, ModelStage.STAGING, "").event
    'version.staged'
    """
    legal = {move.target: move for move in MOVES if move.source is current and move.name not in _BY_ANOTHER_ACT}
    if target not in legal:
        back = (
            ", and to production by a rollback"
            if current is ModelStage.ARCHIVED and target is ModelStage.PRODUCTION
            else ""
        )
        raise RuleViolation(
            Code.ILLEGAL_TRANSITION,
            field="to",
            value=str(target),
            why="the version is already in this stage" if target is current else f"cannot be reached from {current}",
            remedy=f"from {current} a version can move to {' or '.join(sorted(legal))}{back}",
        )
    if legal[target].needs_reason:
        check_reason(reason, f"moving to {target}")
    return legal[target]


def right_to(target: ModelStage) -> str:
    """Return the right that every move to a stage needs.

    >>> right_to(ModelStage.ARCHIVED)
    'promote'
    """
    return next((move.right for move in MOVES if move.target is target), "promote")


def check_reason(reason: str, act: str) -> None:
    """Refuse a reason without a visible character."""
    if not names.is_visible(reason):
        raise RuleViolation(
            Code.REASON_REQUIRED,
            field="reason",
            value=reason,
            why=f"is empty, but {act} needs a reason",
            remedy="write a sentence that says why; it is stored in the audit log",
        )
