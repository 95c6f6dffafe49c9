"""Production: tenures, decisions, rollbacks, and checks of promotions."""

from typing import Any

from msgspec import Struct

from common_lib.rules.lifecycle import ModelStage
from registry_server.domain.base import Count, ModelName, Reason, Request, ShortText, Time, VersionNumber


class Tenure(Struct, frozen=True):
    """The time in which one version of a model, or no version, is in production; the event at `sequence` begins it.

    `rollback_target` is the sequence of the tenure that a rollback from this one returns to. `facts` are the mutable
    fields of the version at the beginning of the tenure.
    """

    model: ModelName
    since: Time
    sequence: int
    version: int | None
    rollback_target: int | None
    facts: dict[str, Any] | None


class InProduction(Struct, frozen=True):
    """The version of a model that was in production at a moment, since when, by whose decision, and why.

    `version` is null if the model had none in production. Before the first promotion, `since` is when the model was
    created, and `sequence`, `what` and `by` are null.
    """

    model: ModelName
    at: Time
    version: VersionNumber | None
    since: Time
    sequence: Count | None
    what: str | None
    by: ShortText | None
    reason: str


class RollbackRequest(Request, frozen=True):
    """The request to return to the version that was in production before.

    `replacing` is the version that is in production now, null for none.
    """

    reason: Reason
    replacing: VersionNumber | None = None


class StageChange(Struct, frozen=True):
    """The stage of a version before and after a decision."""

    version: VersionNumber
    before: ModelStage
    after: ModelStage


class Decision(Struct, frozen=True):
    """One recorded decision about a model: when, by whom, why, and which stages it changed.

    `policy` is the revision of the policy that applied; `overridden` names the rules that were not met.
    """

    sequence: Count
    at: Time
    what: str
    subject: str
    by: ShortText
    reason: str
    forced: bool
    stages: list[StageChange]
    policy: Count | None
    overridden: list[str]


class Winner(Struct, frozen=True):
    """The decision that came before the caller's: its version, its actor, its time and its reason."""

    version: int | None
    by: str
    at: Time
    reason: str


class Finding(Struct, frozen=True):
    """The result of one promotion rule for a version: what is wanted, what was found, and for metrics the numbers."""

    rule: str
    subject: str
    met: bool
    wanted: str
    found: str
    value: float | None
    bound: float | None


class Check(Struct, frozen=True):
    """The result that a promotion of a version would have now, rule by rule, and the version it would replace."""

    model: ModelName
    version: VersionNumber
    stage: ModelStage
    at: Time
    policy: Count
    replacing: VersionNumber | None
    met: bool
    findings: list[Finding]
