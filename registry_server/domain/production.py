"""Types of production: tenures, and the request to roll back."""

from typing import Any

from msgspec import Struct

from registry_server.domain.base import ModelName, Reason, Request, Time, VersionNumber


class Tenure(Struct, frozen=True):
    """A period in which the same version of a model is in production, or none (`version` is None).

    The event with the number `sequence` began the period. `rollback_target` is the `sequence` of the tenure that a
    rollback from this one returns to. `facts` contains the changeable fields of the version,
    with their values at the beginning.
    """

    model: ModelName
    since: Time
    sequence: int
    version: int | None
    rollback_target: int | None
    facts: dict[str, Any] | None


class RollbackRequest(Request, frozen=True):
    """The request to roll back: to return to the version that was in production before.

    `replacing` is the version that is in production now, null if production is empty.
    """

    reason: Reason
    replacing: VersionNumber | None = None
