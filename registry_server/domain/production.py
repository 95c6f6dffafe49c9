"""What is in production and what was: tenures, decisions, and the way back."""

from typing import Any

from msgspec import Struct

from common_lib.rules.lifecycle import ModelStage
from registry_server.domain.base import Count, ModelName, Reason, Request, ShortText, Time, VersionNumber


class Tenure(Struct, frozen=True):
    """From `since` on this version, or none, is in production, because of the event at `sequence`.

    The tenures of a model lie on each other: `beneath` is the one that a rollback goes back to. `facts` are what of the
    version may change, as it was when the tenure began.
    """

    model: ModelName
    since: Time
    sequence: int
    version: int | None
    rollback_target: int | None
    facts: dict[str, Any] | None


class InProduction(Struct, frozen=True):
    """Which version of a model was in production at a moment, since when, who decided it, and why.

    `version` is null if none was; before the first promotion, `since` is when the model began, and nobody decided.
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

    `replacing` is the version that is in production now, null if none is.
    """

    reason: Reason
    replacing: VersionNumber | None = None


class StageChange(Struct, frozen=True):
    """The stage of a version before and after a decision."""

    version: VersionNumber
    before: ModelStage
    after: ModelStage


class Decision(Struct, frozen=True):
    """One event of a model that somebody will ask about: who, when, why, and what it did to stages.

    `policy` is the revision of the policy that judged it; `overridden` names the rules that were not met.
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
    """Who decided before the caller did: which version it is about, and when, and why."""

    version: int | None
    by: str
    at: Time
    reason: str


class Finding(Struct, frozen=True):
    """One rule held against a version: what was wanted, what was found, and for metrics the very numbers."""

    rule: str
    subject: str
    met: bool
    wanted: str
    found: str
    value: float | None
    bound: float | None


class Check(Struct, frozen=True):
    """What a promotion of a version would come to now, rule by rule, and what it would replace."""

    model: ModelName
    version: VersionNumber
    stage: ModelStage
    at: Time
    policy: Count
    replacing: VersionNumber | None
    met: bool
    findings: list[Finding]
