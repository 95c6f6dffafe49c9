"""Production: tenures, decisions, rollbacks, and checks of promotions."""

from typing import Any

from msgspec import Struct

from registry_server.domain.base import ModelName, Reason, Request, Time, VersionNumber


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


class RollbackRequest(Request, frozen=True):
    """The request to return to the version that was in production before.

    `replacing` is the version that is in production now, null for none.
    """

    reason: Reason
    replacing: VersionNumber | None = None
