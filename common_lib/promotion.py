"""What a promotion must fulfil, what humans say of it, what was decided: values of the registry."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from common_lib.rules import names, promotion, windows
from common_lib.rules.comparison import Change, Part
from common_lib.rules.lifecycle import ModelStage, OnRecall, Verdict
from common_lib.rules.promotion import Direction
from common_lib.rules.windows import Weekday
from common_lib.scalars import exact_number, plain
from common_lib.values import (
    Count,
    Given,
    ModelName,
    Moment,
    PrincipalName,
    Reason,
    Revision,
    Scalar,
    ShortText,
    Value,
    VersionNumber,
)

Key = Annotated[str, Field(pattern=names.KEY, max_length=names.NAME_LENGTH)]
Clock = Annotated[str, Field(pattern=windows.CLOCK)]
Day = Annotated[str, Field(pattern=windows.DAY)]
Zone = Annotated[str, Field(pattern=windows.ZONE, max_length=names.NAME_LENGTH)]
Exact = Annotated[float, BeforeValidator(exact_number)]
Tolerance = Annotated[float, Field(ge=0), BeforeValidator(exact_number)]
Approvals = Annotated[int, Field(ge=0, le=promotion.MAX_APPROVALS), BeforeValidator(plain)]


class MetricRule(Given):
    """What a metric must be: not worse than `than`, or than the incumbent's if that is None, but for `tolerance`."""

    metric: Key
    direction: Direction
    than: Exact | None = None
    tolerance: Tolerance = 0.0


class ChangeHours(Given):
    """Hours of some days of the week; `until` is not among them, and 24:00 is the end of the day."""

    days: Annotated[list[Weekday], Field(max_length=7)]
    since: Clock
    until: Clock


class ChangeWindows(Given):
    """When changes may be made: hours of the week by the clocks of a time zone, but not on the days that are closed."""

    zone: Zone
    hours: Annotated[list[ChangeHours], Field(max_length=windows.MAX_WINDOWS)]
    closed: Annotated[list[Day], Field(max_length=windows.MAX_CLOSED)] = []


class PromotionRules(Given):
    """What a promotion must fulfil, and what moving references mean while their version is recalled.

    In `tags`, None is any value; in `files`, `*` is any part of a path.
    """

    metrics: Annotated[list[MetricRule], Field(max_length=promotion.MAX_RULES)] = []
    signature: bool = False
    approvals: Approvals = 0
    tags: dict[str, str | None] = {}
    files: Annotated[list[ShortText], Field(max_length=promotion.MAX_RULES)] = []
    windows: ChangeWindows | None = None
    on_recall: OnRecall = OnRecall.REFUSE


class Policy(Value):
    """The rules of a model; each model has them from the beginning on, without conditions at first."""

    model: ModelName
    rules: PromotionRules
    revision: Revision
    updated_by: ShortText
    updated_at: Moment


class Approval(Value):
    """The last word of a human about a version.

    `subject` is the digest of what it was said of: the facts of the version, its tags and description among them, and
    the revision of the policy. When one of these changes, it is void.
    """

    model: ModelName
    version: VersionNumber
    approver: PrincipalName
    verdict: Verdict
    reason: Reason
    subject: str
    policy: Count
    at: Moment


class Finding(Value):
    """One rule held against a version: what was wanted, what was found, and for metrics the very numbers."""

    rule: str
    subject: str
    met: bool
    wanted: str
    found: str
    value: float | None
    bound: float | None


class Check(Value):
    """What a promotion of a version would come to now, rule by rule, and what it would replace."""

    model: ModelName
    version: VersionNumber
    stage: ModelStage
    at: Moment
    policy: Count
    replacing: VersionNumber | None
    met: bool
    findings: list[Finding]


class InProduction(Value):
    """Which version of a model was in production at a moment, since when, who decided it, and why.

    `version` is None if none was; before the first promotion, `since` is when the model began, and nobody decided.
    """

    model: ModelName
    at: Moment
    version: VersionNumber | None
    since: Moment
    sequence: Count | None
    what: str | None
    by: ShortText | None
    reason: str


class StageChange(Value):
    """The stage of a version before and after a decision."""

    version: VersionNumber
    before: ModelStage
    after: ModelStage


class Decision(Value):
    """One event of a model that somebody will ask about: who, when, why, and what it did to stages.

    `policy` is the revision of the policy that judged it; `overridden` names the rules that were not met.
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


class Difference(Value):
    """One thing that either version has, and how the right one has it other than the left one."""

    part: Part
    name: str
    left: Scalar
    right: Scalar
    change: Change


class VersionDiff(Value):
    """All that either of two versions has, part by part; what is equal too."""

    model: ModelName
    left: VersionNumber
    right: VersionNumber
    items: list[Difference]
