"""Errors of promotions, rollbacks and the history of production."""

from datetime import datetime

from common_lib.rules.codes import Code
from common_lib.rules.lifecycle import ModelStage
from common_lib.rules.production import Winner
from common_lib.rules.references import format_moment
from registry_server.domain.errors.base import RegistryError


class ProductionChanged(RegistryError, code=Code.PRODUCTION_CHANGED, field="replacing"):
    """The version in production is not the one that the caller wants to replace."""

    remedy = "read which version is in production, decide again, and send its number as `replacing`"

    def __init__(self, name: str, current: int | None, replacing: int | None, winner: Winner | None) -> None:
        found, expected = (f"version {number}" if number else "no version" for number in (current, replacing))
        decided = f"; {winner.by} decided this at {format_moment(winner.at)}: {winner.reason}" if winner else ""
        self.winner = winner
        super().__init__(
            replacing, f"{found} of {name!r} is in production, but the request replaces {expected}{decided}"
        )


class NothingToReturnTo(RegistryError, code=Code.NOTHING_TO_RETURN_TO, field="name"):
    """The model has no earlier production version that a rollback could restore."""

    detail = "model {value!r} has no earlier production version that a rollback could restore"
    remedy = "promote a version from staging; an archived version can be moved to staging first"


class PolicyNotMet(RegistryError, code=Code.POLICY_NOT_MET, field="version"):
    """The version does not meet the policy of its model."""

    remedy = "run the check of the promotion and correct what it lists, or ask a principal with the right to override"

    def __init__(self, version: int, revision: int, missing: str) -> None:
        super().__init__(version, f"version {version} does not meet revision {revision} of the policy: {missing}")


class OnlyForPromotions(RegistryError, code=Code.INVALID_REQUEST):
    """A move to a stage other than production cannot override a policy or replace a version."""

    def __init__(self, field: str, value: object, to: ModelStage) -> None:
        self.field = field
        super().__init__(value, f"{field} is only for promotions, not for a move to {to}", f"leave out {field}")


class NothingInProductionThen(RegistryError, code=Code.VERSION_NOT_FOUND, field="as_of"):
    """No version was in production at the requested time, or this version was tombstoned later."""

    remedy = "read the history of the model to see which version was in production when"

    def __init__(self, name: str, moment: datetime) -> None:
        when = format_moment(moment)
        super().__init__(when, f"model {name!r} had no version in production at {when} that can still be used")


class AsOfInFuture(RegistryError, code=Code.AS_OF_OUT_OF_RANGE, field="as_of"):
    """The `as_of` time of a reference is in the future."""

    def __init__(self, moment: datetime, now: datetime) -> None:
        remedy = f"use a time in the past; the server's time is {format_moment(now)}"
        super().__init__(format_moment(moment), f"{format_moment(moment)} is in the future", remedy)


class AsOfBeforeModel(RegistryError, code=Code.AS_OF_OUT_OF_RANGE, field="as_of"):
    """The `as_of` time of a reference is before the creation of the model."""

    def __init__(self, moment: datetime, name: str, created_at: datetime) -> None:
        remedy = f"the model was created at {format_moment(created_at)}: use this time or a later time"
        super().__init__(format_moment(moment), f"{format_moment(moment)} is before model {name!r} was created", remedy)
