"""What a promotion would come to, rule by rule."""

from msgspec import Struct

from common_lib.rules.lifecycle import ModelStage
from registry_server.domain.base import Count, ModelName, Time, VersionNumber


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
