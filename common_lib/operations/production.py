"""Production: what is there and what was, who decided it, and the way there and back."""

from datetime import datetime

from common_lib.operations import models, versions
from common_lib.operations.answers import about
from common_lib.operations.base import Flow, Operation, checked, given, path, query, reads, unsafe
from common_lib.rules.lifecycle import ModelStage, Replaced
from common_lib.rules.names import check_model_name
from common_lib.rules.production import Decision, InProduction
from common_lib.rules.promotion import Check
from common_lib.rules.references import moment, written
from common_lib.types.base import Page
from common_lib.types.models import RegisteredModel
from common_lib.types.production import RollbackRequest
from common_lib.types.versions import ModelVersion

_in_production = reads(InProduction)
_decisions = reads(Page[Decision])
_check = reads(Check)
_version = reads(ModelVersion)


def at(name: str, as_of: datetime | str | None = None) -> Operation[InProduction]:
    """Which version was in production at a moment, by default now, since when, who decided it, and why.

    Example:
        >>> at("eurusd-direction", "2026-03-01T14:03:07Z").query
        (('as_of', '2026-03-01T14:03:07Z'),)

    Raises:
        InvalidRequest: the moment has no time zone, is before the model began, or in the future.
    """
    text = as_of.isoformat() if isinstance(as_of, datetime) else as_of
    asked = None if text is None else written(checked(lambda said: moment("as_of", said), text))
    return Operation("GET", _path(name, "production"), about(_in_production, model=name), query=query(as_of=asked))


def history(name: str, *, page_size: int = 100) -> Operation[Page[Decision]]:
    """What was decided about a model, the newest first, a page at a time: who, when, why, which stages changed."""
    return Operation("GET", _path(name, "history"), _decisions, query=query(limit=page_size))


def check(name: str, version: int) -> Operation[Check]:
    """What a promotion of a version would come to now, rule by rule, and what it would replace; nothing is changed.

    Raises:
        Tombstoned: the version or its model was taken out of use.
    """
    return Operation("GET", _path(name, "versions", version, "check"), about(_check, model=name, version=version))


def rollback(
    origin: str,  # noqa: ARG001 - every flow is told it
    /,
    name: str,
    *,
    reason: str,
    replacing: int | Replaced | None = Replaced.INCUMBENT,
    force: bool = False,
) -> Flow[ModelVersion]:
    """The version that was in production before, there again; the one that was there is archived in the same instant.

    `replacing` is the version that the caller saw in production, None for none; it is read just before if it is not
    given. Recalled and tombstoned versions are passed over.

    Raises:
        ProductionChanged: something else is in production; `winner` says whose decision that is.
        NothingToReturnTo: no version was there before that could be again.
    """
    if replacing is Replaced.INCUMBENT:
        replacing = yield from _incumbent(name, force=force)
    body = given(RollbackRequest, reason=reason, replacing=replacing)
    restored: ModelVersion = yield Operation(
        "POST", _path(name, "rollback"), about(_version, model=name), "write", body=body, headers=unsafe(force=force)
    )
    return restored


def promote(
    origin: str,  # noqa: ARG001 - every flow is told it
    /,
    name: str,
    version: int,
    *,
    reason: str,
    replacing: int | Replaced | None = Replaced.INCUMBENT,
    revision: int | None = None,
    override: bool = False,
    force: bool = False,
) -> Flow[ModelVersion]:
    """The version, in production; the one that was there is archived in the same instant.

    `replacing` is the version that the caller saw in production, None for none; it and `revision` are read just before
    if they are not given. `override` promotes although the policy is not met; `force` whatever somebody else has done.

    Raises:
        RevisionMismatch: somebody changed the version in between; `winner` says who, if that was a decision.
        ProductionChanged: something else is in production; `winner` says whose decision that is.
        PolicyNotMet: the policy of the model asks for more; `production.check` lists it.
        IllegalTransition: the version is not in staging.
    """
    if revision is None and not force:
        seen: ModelVersion = yield versions.get(name, version)
        revision = seen.revision
    if replacing is Replaced.INCUMBENT:
        replacing = yield from _incumbent(name, force=force)
    promoted: ModelVersion = yield versions.transition(
        name,
        version,
        ModelStage.PRODUCTION,
        reason=reason,
        replacing=replacing,
        override=override,
        revision=revision,
        force=force,
    )
    return promoted


def _incumbent(name: str, *, force: bool) -> Flow[int | None]:
    if force:
        return None  # nobody will look at it
    model: RegisteredModel = yield models.get(name)
    return model.production_version


def _path(name: str, *rest: str | int) -> str:
    return path("models", checked(check_model_name, name), *rest)
