"""Versions: get, resolve, list, update, move between stages, tombstone."""

from typing import Any

import msgspec

from common_lib.rules import lifecycle, manifest, names, references
from common_lib.rules.lifecycle import ModelStage
from registry_server.core import changes, models, pages
from registry_server.core.acts import Act, Outcome
from registry_server.core.ports import Database, Records
from registry_server.core.rights import Caller, Right, no_model
from registry_server.domain.artifacts import FileEntry, Manifest
from registry_server.domain.base import Page, Tombstone, TombstoneRequest, VersionNumber
from registry_server.domain.errors import Conflict, InvalidRequest, NotFound, RevisionMismatch
from registry_server.domain.pages import Order
from registry_server.domain.versions import (
    ModelVersion,
    TransitionRequest,
    UpdateVersion,
    VersionFilter,
)

ORDERS = (Order.VERSION, Order.VERSION_DOWN)
_RIGHTS = {ModelStage.PRODUCTION: Right.PROMOTE, ModelStage.ARCHIVED: Right.PROMOTE, ModelStage.STAGING: Right.STAGE}
_EVENTS = {
    ModelStage.STAGING: "version.staged",
    ModelStage.PRODUCTION: "version.promoted",
    ModelStage.ARCHIVED: "version.archived",
}


def key(model: str, version: int) -> str:
    """The key of a version in events."""
    return f"{models.key(model)}/versions/{version}"


async def get(database: Database, caller: Caller, name: str, version: int) -> ModelVersion:
    """The version of that number, tombstoned or not."""
    caller.require(Right.READ, name)
    return await _load(database.read, name, version)


async def resolve(database: Database, caller: Caller, name: str, selector: str) -> ModelVersion:
    """The version that a selector means now: digits, `@alias`, a stage (the newest there), or `latest`."""
    caller.require(Right.READ, name)
    read = database.read.versions
    if selector == "production":
        version = await read.in_production(name)
    elif selector.startswith("@"):
        version = await read.aliased(name, names.check_alias(selector[1:]))
    elif (number := references.version_number(selector)) is not None:
        version = await read.get(name, number)
    else:
        references.check_selector(selector)
        version = await read.newest(name, None if selector == "latest" else ModelStage(selector))
    # A model in production has no tombstone, so the hottest path needs no second look.
    if version is not None and version.tombstone is None and version.stage is ModelStage.PRODUCTION:
        return version
    model = await database.read.models.get(name)
    if model is None:
        raise no_model(name)
    if version is not None and version.tombstone is None and model.tombstone is None:
        return version
    raise NotFound(
        f"model {name!r} has no usable version {selector!r}",
        remedy="list its versions to see their stages, aliases and tombstones",
        field="selector",
        value=selector,
        code="version_not_found",
    )


async def manifest_of(database: Database, caller: Caller, name: str, version: int) -> Manifest:
    """The files of a version, also of a tombstoned one."""
    found = await get(database, caller, name, version)
    body = await database.read.artifacts.document(found.digest)
    if body is None:  # pragma: no cover - a foreign key forbids it
        raise RuntimeError(f"manifest {found.digest} of {key(name, version)} is missing")
    if manifest.digest_of(body) != found.digest:
        raise NotFound(
            f"the manifest of version {version} of {name!r} is damaged",
            remedy="restore the database from a backup",
            field="digest",
            value=found.digest,
            code="blob_damaged",
        )
    return Manifest(found.digest, msgspec.json.decode(body, type=_Document).files)


async def search(
    database: Database,
    caller: Caller,
    name: str,
    conditions: VersionFilter,
    *,
    order: Order,
    limit: int,
    page_token: str | None,
) -> Page[ModelVersion]:
    """One page of the versions of a model, by number."""
    await models.get(database, caller, name)
    if order not in ORDERS:
        raise InvalidRequest(
            f"versions cannot be ordered by {order}",
            remedy=f"use one of {', '.join(ORDERS)}",
            field="order",
            value=order,
        )
    of = ("versions", name, conditions, order)
    window = pages.window(limit, page_token, of, tuple[VersionNumber])
    rows = await database.read.versions.page(name, conditions, order, window)
    return pages.page(rows, window, of, lambda version: (version.version,))


async def update(records: Records, act: Act, name: str, version: int, command: UpdateVersion) -> Outcome[ModelVersion]:
    """Change description or tags; everything else of a version is immutable."""
    found = await _live(records, act, Right.EDIT, name, version)
    act.expect(found.revision)
    given: dict[str, Any] = {
        field: value for field in command.__struct_fields__ if (value := getattr(command, field)) is not msgspec.UNSET
    }
    models.check_facts(**given)
    changed = {field: value for field, value in given.items() if getattr(found, field) != value}
    if not changed:
        return Outcome(found, None)
    after = _next(act, found, **changed)
    await _store(records, found, after)
    return Outcome(after, changes.changed("version.updated", _step(found, after), forced=act.forced))


async def transition(
    records: Records, act: Act, name: str, version: int, command: TransitionRequest
) -> Outcome[ModelVersion]:
    """Move a version to another stage; the version it replaces in production is archived in the same transaction."""
    found = await _live(records, act, _RIGHTS.get(command.to, Right.PROMOTE), name, version)
    act.expect(found.revision)
    lifecycle.check_transition(found.stage, command.to, command.reason)
    names.check_text("reason", command.reason, names.REASON_LENGTH)
    after = _next(act, found, stage=command.to)
    steps = [_step(found, after)]
    incumbent = await records.versions.in_production(name) if command.to is ModelStage.PRODUCTION else None
    if incumbent is not None:
        demoted = _next(act, incumbent, stage=ModelStage.ARCHIVED)
        await _store(records, incumbent, demoted)
        steps.append(_step(incumbent, demoted))
    await _store(records, found, after)
    return Outcome(after, changes.changed(_EVENTS[command.to], *steps, reason=command.reason, forced=act.forced))


async def tombstone(
    records: Records, act: Act, name: str, version: int, command: TombstoneRequest
) -> Outcome[ModelVersion]:
    """Take a version out of use; its number is never given again, its manifest stays."""
    found = await _live(records, act, Right.TOMBSTONE, name, version)
    act.expect(found.revision)
    lifecycle.check_reason(command.reason, "a tombstone")
    names.check_text("reason", command.reason, names.REASON_LENGTH)
    if found.stage is ModelStage.PRODUCTION:
        raise Conflict(
            f"version {version} of {name!r} is in production",
            remedy="promote another version or archive this one first",
            field="version",
            value=version,
            code="version_in_production",
        )
    pointing = await records.aliases.of_version(name, version)
    if pointing:
        raise Conflict(
            f"aliases point at version {version} of {name!r}: {', '.join(pointing)}",
            remedy="move or delete them first",
            field="version",
            value=version,
            code="version_aliased",
        )
    after = _next(act, found, tombstone=Tombstone(act.at, act.caller.name, command.reason))
    await _store(records, found, after)
    change = changes.changed("version.tombstoned", _step(found, after), reason=command.reason, forced=act.forced)
    return Outcome(after, change)


class _Document(msgspec.Struct):
    files: list[FileEntry]


async def _load(records: Records, name: str, version: int) -> ModelVersion:
    found = await records.versions.get(name, version) if 0 < version <= references.MAX_VERSION else None
    if found is not None:
        return found
    if await records.models.get(name) is None:
        raise no_model(name)
    raise NotFound(
        f"model {name!r} has no version {version}",
        remedy="list its versions to see the numbers there are",
        field="version",
        value=version,
        code="version_not_found",
    )


async def _live(records: Records, act: Act, right: Right, name: str, version: int) -> ModelVersion:
    await models.live(records, act, right, name)
    found = await _load(records, name, version)
    if found.tombstone is not None:
        raise Conflict(
            f"version {version} of {name!r} was tombstoned: {found.tombstone.reason}",
            remedy="use another version, or register the files again as a new one",
            field="version",
            value=version,
            code="tombstoned",
        )
    return found


def _next(act: Act, version: ModelVersion, **changed: Any) -> ModelVersion:
    return msgspec.structs.replace(version, revision=version.revision + 1, updated_at=act.at, **changed)


def _step(before: ModelVersion, after: ModelVersion) -> tuple[str, ModelVersion, ModelVersion]:
    return key(after.model, after.version), before, after


async def _store(records: Records, before: ModelVersion, after: ModelVersion) -> None:
    if not await records.versions.update(before, after):
        raise RevisionMismatch("somebody changed the version in between", remedy="read it again", field="If-Match")
