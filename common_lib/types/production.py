"""Production: the versions that are or were there, decisions about them, and checks before a promotion."""

from common_lib.rules.lifecycle import ModelStage
from common_lib.types.base import Count, ModelName, Moment, Reason, RequestModel, ShortText, Value, VersionNumber


class InProduction(Value):
    """The version of a model that was in production at a moment, since when, by whose decision, and why.

    `version` is None if the model had none in production. Before the first promotion, `since` is when the model was
    created, and `sequence`, `what` and `by` are None.
    """

    model: ModelName
    at: Moment
    version: VersionNumber | None
    since: Moment
    sequence: Count | None
    what: str | None
    by: ShortText | None
    reason: str


class RollbackRequest(RequestModel):
    """The request to return to the version that was in production before.

    `replacing` is the version that is in production now, null for none.
    """

    reason: Reason
    replacing: VersionNumber | None = None


class StageChange(Value):
    """The stage of a version before and after a decision."""

    version: VersionNumber
    before: ModelStage
    after: ModelStage


class Decision(Value):
    """One recorded decision about a model: when, by whom, why, and which stages it changed.

    `policy` is the revision of the policy that applied; `overridden` names the rules that were not met.
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


class Finding(Value):
    """The result of one promotion rule for a version: what is wanted, what was found, and for metrics the numbers."""

    rule: str
    subject: str
    met: bool
    wanted: str
    found: str
    value: float | None
    bound: float | None


class Check(Value):
    """The result that a promotion of a version would have now, rule by rule, and the version it would replace."""

    model: ModelName
    version: VersionNumber
    stage: ModelStage
    at: Moment
    policy: Count
    replacing: VersionNumber | None
    met: bool
    findings: list[Finding]
