"""Types of policies: the conditions under which versions may be promoted to production."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from common_lib.rules import names, promotion, windows
from common_lib.rules.fields import ModelName, Moment, ShortText
from common_lib.rules.lifecycle import OnRecall
from common_lib.rules.promotion import Direction
from common_lib.rules.windows import Weekday
from common_lib.scalars import exact_number, plain
from common_lib.types.base import Reason, RequestModel, Revision, Value

Key = Annotated[str, Field(pattern=names.KEY, max_length=names.NAME_LENGTH)]
Clock = Annotated[str, Field(pattern=windows.CLOCK)]
Day = Annotated[str, Field(pattern=windows.DAY)]
Zone = Annotated[str, Field(pattern=windows.ZONE, max_length=names.NAME_LENGTH)]
Exact = Annotated[float, BeforeValidator(exact_number)]
Tolerance = Annotated[float, Field(ge=0), BeforeValidator(exact_number)]
Approvals = Annotated[int, Field(ge=0, le=promotion.MAX_APPROVALS), BeforeValidator(plain)]


class MetricRule(RequestModel):
    """A bound for a metric: its value may be worse than `than` by at most `tolerance`.

    If `than` is None, the value is compared with that of the version in production.
    """

    metric: Key
    direction: Direction
    than: Exact | None = None
    tolerance: Tolerance = 0.0


class ChangeHours(RequestModel):
    """Hours on some days of the week: from `since` until just before `until`; 24:00 is the end of the day."""

    days: Annotated[list[Weekday], Field(max_length=7)]
    since: Clock
    until: Clock


class ChangeWindows(RequestModel):
    """Times at which changes are allowed: hours of the week in a time zone, except on closed days."""

    zone: Zone
    hours: Annotated[list[ChangeHours], Field(max_length=windows.MAX_WINDOWS)]
    closed: Annotated[list[Day], Field(max_length=windows.MAX_CLOSED)] = []


class PromotionRules(RequestModel):
    """The rules of a policy: the conditions of a promotion, and how references to a recalled version are treated.

    In `tags`, None means any value; in `files`, `*` matches any part of a path.
    """

    metrics: Annotated[list[MetricRule], Field(max_length=promotion.MAX_RULES)] = []
    signature: bool = False
    approvals: Approvals = 0
    tags: dict[str, str | None] = {}
    files: Annotated[list[ShortText], Field(max_length=promotion.MAX_RULES)] = []
    windows: ChangeWindows | None = None
    on_recall: OnRecall = OnRecall.REFUSE

    def check_rules(self) -> None:
        """Check that the rules are well formed; only the server can check that the metrics exist."""
        promotion.check_rules(self.model_dump(), None)


class Policy(Value):
    """The promotion rules of a model; a new model has a policy without conditions."""

    model: ModelName
    rules: PromotionRules
    revision: Revision
    updated_by: ShortText
    updated_at: Moment


class SetPolicy(RequestModel):
    """The request to replace the rules of a model."""

    rules: PromotionRules
    reason: Reason

    def check_rules(self) -> None:
        """Check the rules."""
        self.rules.check_rules()
