"""The stages of a version, and a table of the moves between them, from which docs/lifecycle.md is generated."""

from enum import Enum, StrEnum
from typing import Final, NamedTuple

from common_lib.rules import names
from common_lib.rules.codes import Code
from common_lib.rules.violation import RuleViolation

# The server returns these lists completely, without pages.
MAX_ALIASES: Final = 1_000
MAX_VERDICTS: Final = 1_000


class ModelType(StrEnum):
    """Kind of task that a model solves."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    FORECASTING = "forecasting"
    REINFORCEMENT = "reinforcement"
    ANOMALY_DETECTION = "anomaly_detection"
    TIME_SERIES = "time_series"


class ModelStage(StrEnum):
    """Stage of a version in its lifecycle."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


class OnRecall(StrEnum):
    """Treatment of a reference with a stage or `latest` whose version is recalled: refuse it, or skip that version."""

    REFUSE = "refuse"
    SKIP = "skip"


class Replaced(Enum):
    """Default of `replacing`: the client reads which version is in production and replaces that version."""

    INCUMBENT = "the version that is in production now"


class Verdict(StrEnum):
    """Decision of a human to approve or to refuse a version."""

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
# Moves that happen only in a promotion or a rollback; a caller cannot request them as a transition.
_NOT_REQUESTABLE: Final = frozenset({"replace", "roll back", "give way"})
# Events that appear as decisions in the history of a model.
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
    """Return the move from one stage to another, if a caller can request it.

    Raises:
        RuleViolation: `illegal_transition` if the move is not possible, `reason_required` if it needs a reason.

    >>> check_transition(ModelStage.DEVELOPMENT, ModelStage.STAGING, "").event
    'version.staged'
    """
    legal = {move.target: move for move in MOVES if move.source is current and move.name not in _NOT_REQUESTABLE}
    if target not in legal:
        back = (
            ", and a rollback can return it to production"
            if current is ModelStage.ARCHIVED and target is ModelStage.PRODUCTION
            else ""
        )
        raise RuleViolation(
            Code.ILLEGAL_TRANSITION,
            field="to",
            value=str(target),
            why="the version is already in this stage"
            if target is current
            else f"a version in {current} cannot move to this stage",
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


def check_reason(reason: str, action: str) -> None:
    """Check that a reason contains a visible character."""
    if not names.is_visible(reason):
        raise RuleViolation(
            Code.REASON_REQUIRED,
            field="reason",
            value=reason,
            why=f"the reason is empty, but {action} needs one",
            remedy="write a sentence that says why; it will be stored in the audit log",
        )
