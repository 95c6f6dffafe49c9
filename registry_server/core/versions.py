"""Use cases for versions: get, list, update, tombstone and compare them.

Others are in `registration`, `lifecycle`, `production`.
"""

import asyncio
from functools import partial
from typing import Any, Final

import msgspec

from common_lib.rules import comparison, lifecycle, manifest, references
from common_lib.rules.comparison import Part, VersionDiff
from common_lib.rules.facts import check_facts
from common_lib.rules.fields import Scalar
from common_lib.rules.lifecycle import ModelStage
from registry_server.core import changes, models, pages, timeline
from registry_server.core.ports import Database
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import Outcome, WriteRequest
from registry_server.domain import errors
from registry_server.domain.artifacts import FileEntry, Manifest
from registry_server.domain.base import Page, Tombstone, TombstoneRequest, VersionNumber
from registry_server.domain.pages import Order
from registry_server.domain.policies import Policy
from registry_server.domain.versions import ModelVersion, UpdateVersion, VersionFilter
from registry_server.queries import Records

# After this number of differences, other requests get their turn.
_CHUNK: Final = 500
ORDERS = (Order.VERSION, Order.VERSION_DOWN)


def key(model: str, version: int) -> str:
    """Return the key that identifies a version in events."""
    return f"{models.key(model)}/versions/{version}"


async def get(database: Database, caller: Caller, name: str, version: int) -> ModelVersion:
    """Return the version with that number, even if it has a tombstone."""
    caller.check_right(Right.READ, name)
    return await _get(database.read, name, version)


async def get_for_promotion(
    database: Database, caller: Caller, name: str, version: int
) -> tuple[ModelVersion, ModelVersion | None, Policy | None]:
    """Return the version with that number, the version in production and the stored policy, read by one query."""
    caller.check_right(Right.READ, name)
    if 0 < version <= references.MAX_VERSION:
        found, incumbent, policy = await database.read.versions.find_for_promotion(name, version)
        if found is not None:
            return found, incumbent, policy
    raise await _no_version(database.read, name, version)


async def get_manifest(database: Database, caller: Caller, name: str, version: int) -> Manifest:
    """Return the list of files of a version, even if the version has a tombstone."""
    found = await get(database, caller, name, version)
    body = await database.read.artifacts.find_document(found.digest)
    if body is None:  # pragma: no cover - a foreign key forbids it
        raise RuntimeError(f"manifest {found.digest} of {key(name, version)} is missing")
    if manifest.digest_of(body) != found.digest:
        raise errors.ManifestDamaged(found)
    return Manifest(found.digest, msgspec.json.decode(body, type=_Document).files)


async def list_page(
    database: Database,
    caller: Caller,
    name: str,
    conditions: VersionFilter,
    *,
    order: Order,
    limit: int,
    page_token: str | None,
) -> Page[ModelVersion]:
    """Return one page of the versions of a model, sorted by version number."""
    await models.get(database, caller, name)
    if order not in ORDERS:
        raise errors.OrderNotSupported("versions", order, ORDERS)
    scope = ("versions", name, conditions, order)
    window = pages.window(limit, page_token, scope, tuple[VersionNumber])
    fetch = partial(database.read.versions.list_page, name, conditions, order)
    return await pages.collect(fetch, window, scope, lambda version: (version.version,))


async def update(
    records: Records, request: WriteRequest, name: str, version: int, command: UpdateVersion
) -> Outcome[ModelVersion]:
    """Change the description or the tags of a version; all its other fields are immutable."""
    found = await get_for_update(records, request, Right.EDIT, name, version)
    await check_revision(records, request, found, command.reason)
    fields = models.provided_fields(command)
    check_facts(**fields)
    differs = {field: value for field, value in fields.items() if getattr(found, field) != value}
    if not differs:
        return Outcome(found, None)
    after = with_next_revision(request, found, **differs)
    return await store(records, request, "version.updated", (found, after), reason=command.reason)


async def tombstone(
    records: Records, request: WriteRequest, name: str, version: int, command: TombstoneRequest
) -> Outcome[ModelVersion]:
    """Take a version out of use permanently; its number is never used again, and its manifest remains."""
    found = await get_for_update(records, request, Right.TOMBSTONE, name, version)
    await check_revision(records, request, found, command.reason)
    lifecycle.check_reason(command.reason, "a tombstone")
    if found.stage is ModelStage.PRODUCTION:
        raise errors.VersionInProduction(found)
    aliases = await records.aliases.list_of_version(name, version)
    if aliases:
        raise errors.VersionAliased(found, aliases)
    after = with_next_revision(request, found, tombstone=Tombstone(request.at, request.caller.name, command.reason))
    return await store(records, request, "version.tombstoned", (found, after), reason=command.reason)


async def diff(database: Database, caller: Caller, name: str, left: int, right: int) -> VersionDiff:
    """Compare all parts of two versions of a model; the result also contains the items that are equal."""
    sides = []
    for number in (left, right):
        version = await get(database, caller, name, number)
        sides.append(_to_parts(version, await get_manifest(database, caller, name, number)))
        await asyncio.sleep(0)
    items = []
    for found in comparison.compare(*sides):
        items.append(found)
        if len(items) % _CHUNK == 0:
            # With ten thousand files on each side, other requests and the deadline get their turn here.
            await asyncio.sleep(0)
    return VersionDiff(name, left, right, items)


def _to_parts(version: ModelVersion, files: Manifest) -> dict[Part, dict[str, Scalar]]:
    lineage = msgspec.structs.asdict(version.lineage) if version.lineage else {}
    return {
        Part.ABOUT: {"stage": str(version.stage), "framework": version.framework, "bytes": version.size},
        Part.PARAMETERS: dict(version.parameters),
        Part.METRICS: dict(version.metrics),
        Part.SIGNATURE: comparison.describe_signature(msgspec.to_builtins(version.signature)),
        Part.LINEAGE: {name: value for name, value in lineage.items() if value is not None},
        Part.FILES: {file.path: f"sha256:{file.sha256} {file.size}" for file in files.files},
    }


async def get_for_update(
    records: Records, request: WriteRequest, right: Right, name: str, version: int
) -> ModelVersion:
    """Lock a model until the transaction ends, and return a version of it.

    The caller must have the given right on the model.

    Raises:
        VersionTombstoned, ModelTombstoned: the version or its model has a tombstone.
    """
    await models.get_for_update(records, request, right, name)
    found = await _get(records, name, version)
    check_not_tombstoned(found)
    return found


async def check_revision(records: Records, request: WriteRequest, version: ModelVersion, reason: str) -> None:
    """Check that If-Match contains the stored revision of a version.

    If not, the error contains the decision that created this revision.

    Raises:
        RevisionRequired: If-Match is missing.
        RevisionMismatch: If-Match contains another revision.
        RuleViolation: the change is forced without a reason.
    """
    try:
        request.check_revision(version.revision, reason)
    except errors.RevisionMismatch as stale:
        stale.name_winner(await timeline.find_winner(records, version, key(version.model, version.version)))
        raise


def with_next_revision(request: WriteRequest, version: ModelVersion, **fields: Any) -> ModelVersion:
    """Return a copy of the version with changed fields and the next revision number."""
    return msgspec.structs.replace(version, revision=version.revision + 1, updated_at=request.at, **fields)


async def store(
    records: Records,
    request: WriteRequest,
    event: str,
    *edits: tuple[ModelVersion, ModelVersion],
    reason: str,
    basis: dict[str, Any] | None = None,
) -> Outcome[ModelVersion]:
    """Store one or more changed versions, and return the outcome with one event.

    Each edit is (version before, version after); the event is about the first version.

    Raises:
        ChangedMeanwhile: another writer changed one of the versions first.
    """
    # The last edit is stored first, because production must be free before another version enters it.
    for before, after in reversed(edits):
        if not await records.versions.update(before, after):
            raise errors.ChangedMeanwhile("version")
    keyed = [(key(after.model, after.version), before, after) for before, after in edits]
    change = changes.changed(event, *keyed, reason=reason, forced=request.forced)
    return Outcome(edits[0][1], msgspec.structs.replace(change, basis=basis or {}))


def check_not_tombstoned(version: ModelVersion) -> None:
    """Check that a version has no tombstone.

    Raises:
        VersionTombstoned: the version has a tombstone, whose reason the error contains.
    """
    if version.tombstone is not None:
        raise errors.VersionTombstoned(version, version.tombstone)


def check_not_recalled(version: ModelVersion) -> None:
    """Check that a version is not recalled.

    Raises:
        VersionRecalled: the version is recalled; the error contains time, actor and reason of the recall.
    """
    if version.recall is not None:
        raise errors.VersionRecalled(version, version.recall)


class _Document(msgspec.Struct):
    files: list[FileEntry]


async def _get(records: Records, name: str, version: int) -> ModelVersion:
    found = await records.versions.find(name, version) if 0 < version <= references.MAX_VERSION else None
    if found is not None:
        return found
    raise await _no_version(records, name, version)


async def _no_version(records: Records, name: str, version: int) -> errors.RegistryError:
    if await records.models.find(name) is None:
        return errors.ModelNotFound(name)
    return errors.VersionNotFound(name, version)
