"""Versions: get, resolve, list, update; what moves them between stages is in `lifecycle`."""

from functools import partial
from typing import Any

import msgspec

from common_lib.rules import manifest, names, references
from common_lib.rules.facts import check_facts
from common_lib.rules.lifecycle import ModelStage, OnRecall
from registry_server.core import changes, models, pages, timeline
from registry_server.core.ports import Database, Records
from registry_server.core.rights import Caller, Right, no_model
from registry_server.core.writes import Outcome, WriteRequest
from registry_server.domain.artifacts import FileEntry, Manifest
from registry_server.domain.base import Page, VersionNumber
from registry_server.domain.errors import Conflict, InvalidRequest, NotFound, Recalled, RevisionMismatch
from registry_server.domain.pages import Order
from registry_server.domain.policies import Policy
from registry_server.domain.versions import ModelVersion, UpdateVersion, VersionFilter

ORDERS = (Order.VERSION, Order.VERSION_DOWN)


def key(model: str, version: int) -> str:
    """The key of a version in events."""
    return f"{models.key(model)}/versions/{version}"


async def get(database: Database, caller: Caller, name: str, version: int) -> ModelVersion:
    """The version of that number, tombstoned or not."""
    caller.require(Right.READ, name)
    return await _load(database.read, name, version)


async def to_judge(
    database: Database, caller: Caller, name: str, version: int
) -> tuple[ModelVersion, ModelVersion | None, Policy | None]:
    """The version of that number, tombstoned or not, the one in production, and the policy that was set."""
    caller.require(Right.READ, name)
    if 0 < version <= references.MAX_VERSION:
        found, incumbent, policy = await database.read.versions.find_for_promotion(name, version)
        if found is not None:
            return found, incumbent, policy
    raise await _no_version(database.read, name, version)


async def resolve(database: Database, caller: Caller, name: str, selector: str) -> ModelVersion:
    """The version that a selector means now: digits, `@alias`, a stage (the newest there), or `latest`.

    Raises:
        NotFound: it means none.
        Recalled: it means one that is blocked, and the model's policy does not say to skip it.
    """
    caller.require(Right.READ, name)
    read = database.read.versions
    if selector == "production":
        version = await read.find_in_production(name)
    elif selector.startswith("@"):
        version = await read.find_by_alias(name, names.check_alias(selector[1:]))
    elif (number := references.version_number(selector)) is not None:
        version = await read.find(name, number)
    else:
        references.check_selector(selector)
        version = await read.find_newest(name, None if selector == "latest" else ModelStage(selector))
    # A model in production has no tombstone, so the hottest path needs no second look.
    if version is not None and version.recall is None and version.stage is ModelStage.PRODUCTION:
        return version
    return await _usable(database, name, selector, version)


async def manifest_of(database: Database, caller: Caller, name: str, version: int) -> Manifest:
    """The files of a version, also of a tombstoned one."""
    found = await get(database, caller, name, version)
    body = await database.read.artifacts.find_document(found.digest)
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
    fetch = partial(database.read.versions.list_page, name, conditions, order)
    return await pages.collect(fetch, window, of, lambda version: (version.version,))


async def update(
    records: Records, request: WriteRequest, name: str, version: int, command: UpdateVersion
) -> Outcome[ModelVersion]:
    """Change description or tags; everything else of a version is immutable."""
    found = await live(records, request, Right.EDIT, name, version)
    await check_revision(records, request, found, command.reason)
    given = models.given(command)
    check_facts(**given)
    differs = {field: value for field, value in given.items() if getattr(found, field) != value}
    if not differs:
        return Outcome(found, None)
    after = changed(request, found, **differs)
    await store(records, found, after)
    change = changes.changed("version.updated", step(found, after), reason=command.reason, forced=request.forced)
    return Outcome(after, change)


async def live(records: Records, request: WriteRequest, right: Right, name: str, version: int) -> ModelVersion:
    """The version for a change by a caller with that right, its model kept from other writers.

    Raises:
        Conflict: it has a tombstone, or its model has.
    """
    await models.live(records, request, right, name)
    found = await _load(records, name, version)
    refuse_tombstoned(found)
    return found


async def check_revision(records: Records, request: WriteRequest, version: ModelVersion, reason: str) -> None:
    """Refuse unless the caller saw the version as it is, and tell whose decision they missed.

    Raises:
        RevisionRequired: there is no If-Match.
        RevisionMismatch: it names another revision.
        RuleViolation: it is forced without a reason.
    """
    try:
        request.check_revision(version.revision, reason)
    except RevisionMismatch as stale:
        stale.winner = await timeline.winner(records, version, key(version.model, version.version))
        if stale.winner is not None:
            stale.detail += f": {stale.winner.by} decided about it at {references.written(stale.winner.at)}"
        raise


def changed(request: WriteRequest, version: ModelVersion, **fields: Any) -> ModelVersion:
    """The version with other fields, at its next revision."""
    return msgspec.structs.replace(version, revision=version.revision + 1, updated_at=request.at, **fields)


def step(before: ModelVersion, after: ModelVersion) -> tuple[str, ModelVersion, ModelVersion]:
    """A change of a version, as events tell it."""
    return key(after.model, after.version), before, after


async def store(records: Records, before: ModelVersion, after: ModelVersion) -> None:
    """Keep a version in its next state.

    Raises:
        RevisionMismatch: somebody was faster.
    """
    if not await records.versions.update(before, after):
        raise RevisionMismatch("somebody changed the version in between", remedy="read it again", field="If-Match")


def refuse_tombstoned(version: ModelVersion) -> None:
    """Refuse a version that was taken out of use.

    Raises:
        Conflict: it was, and why.
    """
    if version.tombstone is not None:
        raise Conflict(
            f"version {version.version} of {version.model!r} was tombstoned: {version.tombstone.reason}",
            remedy="use another version, or register the files again as a new one",
            field="version",
            value=version.version,
            code="tombstoned",
        )


def refuse_recalled(version: ModelVersion) -> None:
    """Refuse a version that is blocked for everyone.

    Raises:
        Recalled: it is, and why.
    """
    if version.recall is not None:
        raise Recalled(
            f"version {version.version} of {version.model!r} was recalled by {version.recall.by} at "
            f"{references.written(version.recall.at)}: {version.recall.reason}",
            remedy="use another version; whoever may recall can reinstate it",
            field="version",
            value=version.version,
        )


class _Document(msgspec.Struct):
    files: list[FileEntry]


async def _load(records: Records, name: str, version: int) -> ModelVersion:
    found = await records.versions.find(name, version) if 0 < version <= references.MAX_VERSION else None
    if found is not None:
        return found
    raise await _no_version(records, name, version)


async def _no_version(records: Records, name: str, version: int) -> NotFound:
    if await records.models.find(name) is None:
        return no_model(name)
    return NotFound(
        f"model {name!r} has no version {version}",
        remedy="list its versions to see the numbers there are",
        field="version",
        value=version,
        code="version_not_found",
    )


async def _usable(database: Database, name: str, selector: str, version: ModelVersion | None) -> ModelVersion:
    """The version if it can be used, or the one that takes its place while it is recalled."""
    model = await database.read.models.find(name)
    if model is None:
        raise no_model(name)
    if version is not None and version.recall is not None and _moves(selector) and model.tombstone is None:
        policy = await database.read.policies.find(name)
        if policy is not None and policy.rules.on_recall is OnRecall.SKIP:
            instead = await _instead(database.read, name, selector)
            version = instead or version
    if version is None or version.tombstone is not None or model.tombstone is not None:
        raise NotFound(
            f"no version of {name!r} is in production"
            if selector == "production"
            else f"model {name!r} has no usable version {selector!r}",
            remedy="list its versions to see their stages, aliases and tombstones",
            field="selector",
            value=selector,
            code="version_not_found",
        )
    refuse_recalled(version)
    return version


def _moves(selector: str) -> bool:
    """Whether a selector means whatever version stands somewhere, and not one that somebody named."""
    return not selector.startswith("@") and references.version_number(selector) is None


async def _instead(records: Records, name: str, selector: str) -> ModelVersion | None:
    if selector == "production":
        below = await timeline.predecessor(records, name)
        return None if below is None else below[1]
    return await records.versions.find_newest(
        name, None if selector == "latest" else ModelStage(selector), recalled=False
    )
