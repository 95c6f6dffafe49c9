"""Operations that promote, roll back, and read which versions are or were in production and why."""

from datetime import datetime
from functools import partial

from common_lib.operations import lifecycle, models, versions
from common_lib.operations.answers import about
from common_lib.operations.base import Flow, Operation, json_reader, path, query, request_body, validate, write_headers
from common_lib.rules.lifecycle import ModelStage, Replaced
from common_lib.rules.names import check_model_name
from common_lib.rules.production import Decision, InProduction
from common_lib.rules.promotion import Check
from common_lib.rules.references import format_moment, parse_moment
from common_lib.types.base import Page
from common_lib.types.models import RegisteredModel
from common_lib.types.production import RollbackRequest
from common_lib.types.versions import ModelVersion

_in_production = json_reader(InProduction)
_decisions = json_reader(Page[Decision])
_check = json_reader(Check)
_version = json_reader(ModelVersion)


def at(name: str, as_of: datetime | str | None = None) -> Operation[InProduction]:
    """Get the version that was in production at a given time (default: now), and the decision that put it there.

    Example:
        >>> at("eurusd-direction", "2026-03-01T14:03:07Z").query
        (('as_of', '2026-03-01T14:03:07Z'),)

    Raises:
        InvalidRequest: the time has no time zone, is before the creation of the model, or is in the future.
    """
    text = as_of.isoformat() if isinstance(as_of, datetime) else as_of
    canonical = None if text is None else format_moment(validate(partial(parse_moment, "as_of"), text))
    return Operation("GET", _path(name, "production"), about(_in_production, model=name), query=query(as_of=canonical))


def history(name: str, *, page_size: int = 100) -> Operation[Page[Decision]]:
    """List the decisions about a model page by page, starting with the newest."""
    return Operation("GET", _path(name, "history"), _decisions, query=query(limit=page_size))


def check(name: str, version: int) -> Operation[Check]:
    """Check whether a version could be promoted now, and which version it would replace; change nothing.

    Raises:
        Tombstoned: the version or its model was taken out of use.
    """
    return Operation("GET", _path(name, "versions", version, "check"), about(_check, model=name, version=version))


def rollback(
    origin: str,  # noqa: ARG001 - every flow takes it
    /,
    name: str,
    *,
    reason: str,
    replacing: int | Replaced | None = Replaced.INCUMBENT,
    force: bool = False,
) -> Flow[ModelVersion]:
    """Return to the version that was in production before, and archive the current one in the same transaction.

    `replacing` is the version that the caller expects in production, or None if there should not be one. By default,
    the client first reads which version is in production. Recalled and tombstoned versions are skipped.

    Raises:
        ProductionChanged: another version is in production; `winner` is the decision that put it there.
        NothingToReturnTo: the model has no earlier version that can return to production.
    """
    if replacing is Replaced.INCUMBENT:
        replacing = yield from _incumbent(name, force=force)
    body = request_body(RollbackRequest, reason=reason, replacing=replacing)
    restored: ModelVersion = yield Operation(
        "POST",
        _path(name, "rollback"),
        about(_version, model=name),
        "write",
        body=body,
        headers=write_headers(force=force),
    )
    return restored


def promote(
    origin: str,  # noqa: ARG001 - every flow takes it
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
    """Promote a version to production and, in the same transaction, archive the version that it replaces.

    `replacing` is the version that the caller expects in production, or None if there should not be one. If `replacing`
    or `revision` is not given, the client first reads its current value. `override` promotes a version that does not
    meet the policy; `force` ignores concurrent changes.

    Raises:
        RevisionMismatch: the version was changed in the meantime; `winner` is the decision that changed it, or None.
        ProductionChanged: another version is in production; `winner` is the decision that put it there.
        PolicyNotMet: the version does not meet the policy of the model; `production.check` lists the findings.
        IllegalTransition: the version is not in staging.
    """
    if revision is None and not force:
        seen: ModelVersion = yield versions.get(name, version)
        revision = seen.revision
    if replacing is Replaced.INCUMBENT:
        replacing = yield from _incumbent(name, force=force)
    promoted: ModelVersion = yield lifecycle.transition(
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
        return None  # a forced request does not compare it
    model: RegisteredModel = yield models.get(name)
    return model.production_version


def _path(name: str, *rest: str | int) -> str:
    return path("models", validate(check_model_name, name), *rest)
