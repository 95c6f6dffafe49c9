"""Answers about the production stage: which versions are or were there, and the decisions about them."""

from dataclasses import dataclass

from common_lib.rules.fields import AnswerBody, Count, ModelName, Moment, ShortText, VersionNumber
from common_lib.rules.lifecycle import ModelStage


@dataclass(frozen=True, slots=True)
class InProduction(AnswerBody):
    """The version of a model that was in production at a given time, and the decision that put it there.

    `version` is null if no version was in production. Before the first promotion, `since` is the time when the model
    was created, and `sequence`, `what` and `by` are null.
    """

    model: ModelName
    at: Moment
    version: VersionNumber | None
    since: Moment
    sequence: Count | None
    what: str | None
    by: ShortText | None
    reason: str


@dataclass(frozen=True, slots=True)
class StageChange(AnswerBody):
    """The stage of a version before and after a decision."""

    version: VersionNumber
    before: ModelStage
    after: ModelStage


@dataclass(frozen=True, slots=True)
class Decision(AnswerBody):
    """One recorded decision about a model: its time, principal and reason, and the stages that it changed.

    `policy` is the revision of the policy that applied; `overridden` lists the rules that were not met.
    """

    sequence: Count
    at: Moment
    what: str
    subject: str
    by: ShortText
    reason: str
    forced: bool
    stages: list[StageChange]
    policy: Count | None
    overridden: list[str]


@dataclass(frozen=True, slots=True)
class Winner(AnswerBody):
    """The earlier decision because of which a request failed; `version` is null if it left no version in production."""

    version: int | None
    by: str
    at: Moment
    reason: str
