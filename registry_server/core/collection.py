"""The collector: what no version names is condemned, removed when it still is unnamed later, and purged later still.

Bytes are safe beside uploads because whoever sends or asks for them holds a lease before they look, and because the
file is moved within the transaction that removes its row: it excludes the one that would record a new upload of them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from registry_server.core import artifacts, changes, uploads
from registry_server.core.acts import Act, Outcome, Ports, perform
from registry_server.core.ports import Records
from registry_server.core.rights import Right
from registry_server.domain.artifacts import Blob, Collection, CollectionRequest
from registry_server.domain.errors import StorageUnavailable

_PREFIXES = [f"{number:02x}" for number in range(256)]


async def collect(ports: Ports, act: Act, order: CollectionRequest) -> Collection:
    """What was removed, or, as a dry run, what would be."""
    act.caller.require(Right.ADMINISTER)
    # While the medium is missing, nothing is known of the bytes on it.
    ports.blobs.check_medium()
    done = Collection(order.dry_run)
    for step in (_release, _condemn, _remove, _stray, _expire, _purge):
        done = msgspec.structs.replace(done, **await step(ports, act, order))
    return done


async def reconcile(ports: Ports) -> int:
    """Take back from the trash what a crash left there while its row stands, and say how many blobs that were."""
    count = 0
    for sha256, size, _ in list(ports.blobs.list_trash()):
        blob = await ports.database.read.artifacts.blob(sha256)
        if blob is not None and blob.quarantined_at is None and not ports.blobs.has_blob(sha256, size):
            count += ports.blobs.restore_from_trash(sha256)
    return count


async def _release(ports: Ports, act: Act, order: CollectionRequest) -> dict[str, int]:
    """Versions whose tombstone is old name their bytes no more."""
    before = act.at - timedelta(seconds=order.retention_s)
    due = [(model, number) for model, number, at in await ports.database.read.versions.buried() if at <= before]
    if not order.dry_run:
        for model, number in due:
            await ports.database.write(partial(_let_go, model, number))
    return {"released_versions": len(due)}


async def _let_go(model: str, number: int, records: Records) -> None:
    await records.artifacts.release(model, number)


async def _condemn(ports: Ports, act: Act, order: CollectionRequest) -> dict[str, int]:
    unnamed = await ports.database.read.artifacts.unnamed(act.at)
    if not order.dry_run:
        await ports.database.write(lambda records: records.artifacts.condemn(unnamed, act.at))
    return {"unreferenced_blobs": len(unnamed)}


async def _remove(ports: Ports, act: Act, order: CollectionRequest) -> dict[str, int]:
    due = await ports.database.read.artifacts.condemned(act.at - timedelta(seconds=order.grace_s))
    count = size = 0
    for sha256 in due:
        blob = await ports.database.read.artifacts.blob(sha256)
        if blob is None:
            continue
        removed = True
        if not order.dry_run:
            try:
                answer = await perform(ports, _own_act(ports, act), _removal(ports, sha256))
            except StorageUnavailable:
                # The row stands again, and so must the bytes.
                ports.blobs.restore_from_trash(sha256)
                raise
            removed = not answer.body
        count += removed
        size += blob.size if removed else 0
    return {"removed_blobs": count, "removed_bytes": size}


def _removal(ports: Ports, sha256: str) -> Callable[[Records, Act], Awaitable[Outcome[Any]]]:
    async def remove(records: Records, act: Act) -> Outcome[Blob | None]:
        blob = await records.artifacts.blob(sha256)
        if blob is None or not await records.artifacts.is_unnamed(sha256, act.at):
            return Outcome(blob, None)
        await records.artifacts.delete_blob(sha256)
        if blob.quarantined_at is None and ports.blobs.has_blob(sha256, blob.size):
            ports.blobs.move_to_trash(sha256)
        return Outcome(None, changes.removed("blob.removed", artifacts.key(sha256), blob, reason="no version names it"))

    return remove


async def _stray(ports: Ports, act: Act, order: CollectionRequest) -> dict[str, int]:
    """Files without a row, which a crash between the two left."""
    count = 0
    for prefix in _PREFIXES:
        for sha256, _, age_s in list(ports.blobs.list_published(prefix)):
            await asyncio.sleep(0)  # others have their turn
            if age_s < order.grace_s or await ports.database.read.artifacts.blob(sha256) is not None:
                continue
            count += 1
            if not order.dry_run:
                await ports.database.write(partial(_discard_stray, ports, act, sha256))
    return {"orphan_files": count}


async def _discard_stray(ports: Ports, act: Act, sha256: str, records: Records) -> None:
    if await records.artifacts.blob(sha256) is None and not await records.artifacts.is_leased(sha256, act.at):
        ports.blobs.move_to_trash(sha256)


async def _expire(ports: Ports, act: Act, order: CollectionRequest) -> dict[str, int]:
    if order.dry_run:
        return {"expired_uploads": len(await ports.database.read.artifacts.expired_uploads(act.at))}
    await ports.database.write(lambda records: records.artifacts.forget_leases(act.at))
    return {"expired_uploads": await uploads.expire(ports)}


async def _purge(ports: Ports, _act: Act, order: CollectionRequest) -> dict[str, int]:
    count = size = 0
    for sha256, length, age_s in list(ports.blobs.list_trash()):
        await asyncio.sleep(0)
        if age_s >= order.trash_s:
            count, size = count + 1, size + length
            if not order.dry_run:
                ports.blobs.purge(sha256)
    return {"purged_files": count, "purged_bytes": size}


def _own_act(ports: Ports, act: Act) -> Act:
    # Each removal is a change of its own, and so needs a key of its own.
    return msgspec.structs.replace(act, key=ports.new_id())
