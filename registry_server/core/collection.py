"""Garbage collection: mark unreferenced blobs, remove those that stay unreferenced, and purge the trash later.

Running uploads are safe for two reasons. A caller that sends or queries bytes gets a lease before the server looks for
these bytes. The collector moves a file within the transaction that removes its row. While this transaction runs, no
other transaction can record a new upload of the same bytes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from common_lib.rules.collection import Collection
from registry_server.core import artifacts, changes, uploads
from registry_server.core.environment import Environment
from registry_server.core.rights import Right
from registry_server.core.writes import Outcome, WriteRequest, execute
from registry_server.domain import errors
from registry_server.domain.artifacts import Blob
from registry_server.domain.collection import CollectionRequest
from registry_server.queries import Records

_PREFIXES = [f"{number:02x}" for number in range(256)]


async def collect(env: Environment, request: WriteRequest, order: CollectionRequest) -> Collection:
    """Run one garbage collection and return its counts; a dry run only counts."""
    request.caller.check_right(Right.ADMINISTER)
    # While the medium is missing, nothing is known about its bytes.
    env.blobs.check_medium()
    counts: dict[str, int] = {}
    for step in (
        _release_tombstoned,
        _mark_unreferenced,
        _remove_unreferenced,
        _remove_orphans,
        _delete_expired,
        _purge,
    ):
        counts |= await step(env, request, order)
    return Collection(dry_run=order.dry_run, **counts)


async def reconcile(env: Environment) -> int:
    """After a crash, restore files from the trash whose rows still exist; return the number of these files."""
    count = 0
    for sha256, size, _ in list(env.blobs.list_trash()):
        blob = await env.database.read.artifacts.find_blob(sha256)
        if blob is not None and blob.quarantined_at is None and not env.blobs.has_blob(sha256, size):
            count += env.blobs.restore_from_trash(sha256)
    return count


async def _release_tombstoned(env: Environment, request: WriteRequest, order: CollectionRequest) -> dict[str, int]:
    """Release the files of versions whose tombstones are older than the retention time; count these versions."""
    before = request.at - timedelta(seconds=order.retention_s)
    due = [
        (model, number)
        for model, number, at in await env.database.read.collection.list_tombstoned_with_files()
        if at <= before
    ]
    if not order.dry_run:
        for model, number in due:
            await env.database.write(partial(_release, model, number))
    return {"released_versions": len(due)}


async def _release(model: str, number: int, records: Records) -> None:
    await records.collection.release_files(model, number)


async def _mark_unreferenced(env: Environment, request: WriteRequest, order: CollectionRequest) -> dict[str, int]:
    unreferenced = await env.database.read.collection.list_unreferenced(request.at)
    if not order.dry_run:
        await env.database.write(lambda records: records.collection.mark_unreferenced(unreferenced, request.at))
    return {"unreferenced_blobs": len(unreferenced)}


async def _remove_unreferenced(env: Environment, request: WriteRequest, order: CollectionRequest) -> dict[str, int]:
    due = await env.database.read.collection.list_marked(request.at - timedelta(seconds=order.grace_s))
    count = size = 0
    for sha256 in due:
        blob = await env.database.read.artifacts.find_blob(sha256)
        if blob is None:
            continue
        removed = True
        if not order.dry_run:
            try:
                answer = await execute(env, _with_new_key(env, request), _removal(env, sha256))
            except errors.StorageUnavailable:
                # The row was rolled back and exists again, so the bytes must be restored.
                env.blobs.restore_from_trash(sha256)
                raise
            removed = not answer.body
        count += removed
        size += blob.size if removed else 0
    return {"removed_blobs": count, "removed_bytes": size}


def _removal(env: Environment, sha256: str) -> Callable[[Records, WriteRequest], Awaitable[Outcome[Any]]]:
    async def remove(records: Records, request: WriteRequest) -> Outcome[Blob | None]:
        blob = await records.artifacts.find_blob(sha256)
        if blob is None or not await records.collection.is_unreferenced(sha256, request.at):
            return Outcome(blob, None)
        await records.artifacts.delete_blob(sha256)
        if blob.quarantined_at is None and env.blobs.has_blob(sha256, blob.size):
            env.blobs.move_to_trash(sha256)
        return Outcome(
            None, changes.removed("blob.removed", artifacts.key(sha256), blob, reason="no version references it")
        )

    return remove


async def _remove_orphans(env: Environment, request: WriteRequest, order: CollectionRequest) -> dict[str, int]:
    """Move orphans to the trash and return their number.

    An orphan is a file without a row: a crash before the insertion of the row leaves it.
    """
    count = 0
    for prefix in _PREFIXES:
        for sha256, _, age_s in list(env.blobs.list_published(prefix)):
            await asyncio.sleep(0)  # other requests get their turn
            if age_s < order.grace_s or await env.database.read.artifacts.find_blob(sha256) is not None:
                continue
            count += 1
            if not order.dry_run:
                await env.database.write(partial(_trash_orphan, env, request, sha256))
    return {"orphan_files": count}


async def _trash_orphan(env: Environment, request: WriteRequest, sha256: str, records: Records) -> None:
    if await records.artifacts.find_blob(sha256) is None and not await records.artifacts.is_leased(sha256, request.at):
        env.blobs.move_to_trash(sha256)


async def _delete_expired(env: Environment, request: WriteRequest, order: CollectionRequest) -> dict[str, int]:
    if order.dry_run:
        return {"expired_uploads": len(await env.database.read.uploads.list_expired(request.at))}
    await env.database.write(lambda records: records.artifacts.delete_expired_leases(request.at))
    return {"expired_uploads": await uploads.delete_expired(env)}


async def _purge(env: Environment, _request: WriteRequest, order: CollectionRequest) -> dict[str, int]:
    count = size = 0
    for sha256, length, age_s in list(env.blobs.list_trash()):
        await asyncio.sleep(0)
        if age_s >= order.trash_s:
            count, size = count + 1, size + length
            if not order.dry_run:
                env.blobs.purge(sha256)
    return {"purged_files": count, "purged_bytes": size}


def _with_new_key(env: Environment, request: WriteRequest) -> WriteRequest:
    # Each removal is a separate change and needs a separate key.
    return msgspec.structs.replace(request, key=env.new_id())
