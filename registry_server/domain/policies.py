"""Policies: what a version of a model must fulfil before it may go to production."""

from typing import Annotated

from msgspec import Meta, Struct

from common_lib.rules import names, promotion, windows
from common_lib.rules.lifecycle import OnRecall
from common_lib.rules.promotion import Direction
from common_lib.rules.windows import Weekday
from registry_server.domain.base import ModelName, Reason, Request, Revision, ShortText, Time

Key = Annotated[str, Meta(pattern=names.KEY, max_length=names.NAME_LENGTH)]
Clock = Annotated[str, Meta(pattern=windows.CLOCK)]
Day = Annotated[str, Meta(pattern=windows.DAY)]
Zone = Annotated[str, Meta(pattern=windows.ZONE, max_length=names.NAME_LENGTH)]
Tolerance = Annotated[float, Meta(ge=0)]
Approvals = Annotated[int, Meta(ge=0, le=promotion.MAX_APPROVALS)]


class MetricRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What a metric must be: not worse than `than`, or than the incumbent's if that is null, but for `tolerance`."""

    metric: Key
    direction: Direction
    than: float | None = None
    tolerance: Tolerance = 0.0


class ChangeHours(Struct, frozen=True, forbid_unknown_fields=True):
    """Hours of some days of the week; `until` is not among them, and 24:00 is the end of the day."""

    days: Annotated[list[Weekday], Meta(max_length=7)]
    since: Clock
    until: Clock


class ChangeWindows(Struct, frozen=True, forbid_unknown_fields=True):
    """When changes may be made: hours of the week by the clocks of a time zone, but not on the days that are closed."""

    zone: Zone
    hours: Annotated[list[ChangeHours], Meta(max_length=windows.MAX_WINDOWS)]
    closed: Annotated[list[Day], Meta(max_length=windows.MAX_CLOSED)] = []


class PromotionRules(Struct, frozen=True, forbid_unknown_fields=True):
    """What a promotion must fulfil, and what moving references mean while their version is recalled.

    In `tags`, null is any value; in `files`, `*` is any part of a path.
    """

    metrics: Annotated[list[MetricRule], Meta(max_length=promotion.MAX_RULES)] = []
    signature: bool = False
    approvals: Approvals = 0
    tags: dict[str, str | None] = {}
    files: Annotated[list[ShortText], Meta(max_length=promotion.MAX_RULES)] = []
    windows: ChangeWindows | None = None
    on_recall: OnRecall = OnRecall.REFUSE


class Policy(Struct, frozen=True):
    """The rules of a model; each model has them from the beginning on, without conditions at first."""

    model: ModelName
    rules: PromotionRules
    revision: Revision
    updated_by: ShortText
    updated_at: Time

    @property
    def etag(self) -> str:
        """The revision."""
        return f'"{self.revision}"'


class SetPolicy(Request, frozen=True):
    """The request to give a model other rules."""

    rules: PromotionRules
    reason: Reason
