"""Types of policies: the conditions under which versions may be promoted to production."""

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
    """A bound for a metric: its value may be worse than `than` by at most `tolerance`.

    If `than` is null, the value is compared with that of the version in production.
    """

    metric: Key
    direction: Direction
    than: float | None = None
    tolerance: Tolerance = 0.0


class ChangeHours(Struct, frozen=True, forbid_unknown_fields=True):
    """Hours on some days of the week: from `since` until just before `until`; 24:00 is the end of the day."""

    days: Annotated[list[Weekday], Meta(max_length=7)]
    since: Clock
    until: Clock


class ChangeWindows(Struct, frozen=True, forbid_unknown_fields=True):
    """Times at which changes are allowed: hours of the week in a time zone, except on closed days."""

    zone: Zone
    hours: Annotated[list[ChangeHours], Meta(max_length=windows.MAX_WINDOWS)]
    closed: Annotated[list[Day], Meta(max_length=windows.MAX_CLOSED)] = []


class PromotionRules(Struct, frozen=True, forbid_unknown_fields=True):
    """The rules of a policy: the conditions of a promotion, and how references to a recalled version are treated.

    In `tags`, null means any value; in `files`, `*` matches any part of a path.
    """

    metrics: Annotated[list[MetricRule], Meta(max_length=promotion.MAX_RULES)] = []
    signature: bool = False
    approvals: Approvals = 0
    tags: dict[str, str | None] = {}
    files: Annotated[list[ShortText], Meta(max_length=promotion.MAX_RULES)] = []
    windows: ChangeWindows | None = None
    on_recall: OnRecall = OnRecall.REFUSE


class Policy(Struct, frozen=True):
    """The promotion rules of a model; a new model has a policy without conditions."""

    model: ModelName
    rules: PromotionRules
    revision: Revision
    updated_by: ShortText
    updated_at: Time

    @property
    def etag(self) -> str:
        """The ETag, which contains the revision."""
        return f'"{self.revision}"'


class SetPolicy(Request, frozen=True):
    """The request to replace the rules of a model."""

    rules: PromotionRules
    reason: Reason
