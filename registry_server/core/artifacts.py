"""Bytes: blobs are published before any version may name them, and served by the version that names them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from common_lib.rules import names
from common_lib.rules.artifacts import Presence
from registry_server.core import changes, models, versions
from registry_server.core.environment import Environment
from registry_server.core.ports import Records
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import Outcome, WriteRequest, execute
from registry_server.domain import errors
from registry_server.domain.answers import Answer
from registry_server.domain.artifacts import Blob, FileEntry, Verification
from registry_server.domain.events import Change

# As long as an upload may rest. Within it the version that will name the bytes must be created.
LEASE: Final = timedelta(hours=24)
_log = logging.getLogger(__name__)


def key(sha256: str) -> str:
    """The key of a blob in events."""
    return f"blobs/{sha256}"


async def put_blob(
    env: Environment, request: WriteRequest, sha256: str, chunks: AsyncIterator[bytes], limit: int
) -> Answer:
    """Store bytes under their digest: file first, durably, then the row, then the answer."""
    request.caller.check_right(Right.UPLOAD)
    names.check_sha256(sha256)
    size = await env.blobs.put(sha256, chunks, limit)
    return await record_blob(env, request, sha256, size)


async def put_blobs(env: Environment, request: WriteRequest, blobs: dict[str, bytes]) -> Presence:
    """Store several small blobs at once: files first, then all rows with one event, then the answer."""
    request.caller.check_right(Right.UPLOAD)
    for sha256 in blobs:
        names.check_sha256(sha256)
    await env.blobs.put_many(blobs)

    async def record(records: Records, request: WriteRequest) -> Outcome[None]:
        found = [await _insert_blob(env, records, request, sha256, len(content)) for sha256, content in blobs.items()]
        changed = [change for _, change in found if change is not None]
        if not changed:
            return Outcome(None, None)
        before = {key: fields for change in changed for key, fields in change.before.items()}
        after = {key: fields for change in changed for key, fields in change.after.items()}
        return Outcome(None, Change("blobs.published", "blobs", before, after))

    await execute(env, request, record)
    return Presence([], request.at + LEASE)


async def record_blob(env: Environment, request: WriteRequest, sha256: str, size: int) -> Answer:
    """The row of bytes that were just published, which the caller holds a lease on."""

    async def record(records: Records, request: WriteRequest) -> Outcome[Blob]:
        known = await records.artifacts.find_sent_until(sha256, request.caller.name) is not None
        _, change = await _insert_blob(env, records, request, sha256, size)
        # Only the caller's own act: who else holds these bytes, and since when, is not for the caller to know.
        return Outcome(Blob(sha256, size, request.caller.name, request.at), change, status=200 if known else 201)

    return await execute(env, request, record)


async def _insert_blob(
    env: Environment, records: Records, request: WriteRequest, sha256: str, size: int
) -> tuple[Blob, Change | None]:
    blob = Blob(sha256, size, request.caller.name, request.at)
    inserted = await records.artifacts.insert_blob(blob)
    await records.artifacts.lease([sha256], request.caller.name, request.at + LEASE, sent=True)
    # The row is ours from here on: the collector has either removed file and row before, or finds the lease.
    if not env.blobs.has_blob(sha256, size):
        raise errors.BytesCollected
    if inserted:
        return blob, changes.created("blob.published", key(sha256), blob)
    before = await records.artifacts.find_blob(sha256) or blob
    if before.quarantined_at is None:
        return before, None
    return await _release_from_quarantine(records, before)


async def _release_from_quarantine(records: Records, before: Blob) -> tuple[Blob, Change]:
    """The blob out of quarantine."""
    after = msgspec.structs.replace(before, quarantined_at=None)
    await records.artifacts.update_blob(before, after)
    return after, changes.changed("blob.restored", (key(before.sha256), before, after))


async def get_blob(env: Environment, caller: Caller, sha256: str) -> Blob:
    """The row of a blob whose bytes are here."""
    caller.check_right(Right.UPLOAD)
    blob = await env.database.read.artifacts.find_blob(names.check_sha256(sha256))
    if blob is not None and not is_stored(env, blob):
        env.blobs.check_medium()
    if blob is None or not is_stored(env, blob) or not await find_readable(env.database.read, caller, [sha256]):
        raise errors.BlobNotFound(sha256)
    return await _redact(env.database.read, caller, blob)


async def _redact(records: Records, caller: Caller, blob: Blob) -> Blob:
    """Return a blob as its caller may know it: only callers who may read every model see who sent it first.

    Others see their own name and time if they sent it, and otherwise who registered the oldest version with it that
    they may read, and when.
    """
    patterns = caller.covered_patterns(Right.READ)
    if patterns == ("*",):
        return blob
    if (until := await records.artifacts.find_sent_until(blob.sha256, caller.name)) is not None:
        return msgspec.structs.replace(blob, created_by=caller.name, created_at=until - LEASE)
    by, at = await records.artifacts.find_registration(blob.sha256, patterns) or (caller.name, blob.created_at)
    return msgspec.structs.replace(blob, created_by=by, created_at=at)


async def check_presence(
    env: Environment, request: WriteRequest, digests: list[str], model: str | None = None
) -> Presence:
    """List which bytes must be sent; those that are here are kept for the caller from now on.

    With a model, the caller learns before a byte is sent whether a version of it can be registered.

    Raises:
        ModelNotFound, ModelTombstoned, RightMissing: the caller cannot register a version of the model.
    """
    request.caller.check_right(Right.UPLOAD)
    if model is not None:
        await models.get_usable(env.database.read, request.caller, Right.REGISTER, model)
    until = request.at + LEASE
    # The lease comes first: what is seen after it is not removed.
    await env.database.write(lambda records: records.artifacts.lease(digests, request.caller.name, until))
    read = env.database.read
    stored = set()
    for sha256 in digests:
        blob = await read.artifacts.find_blob(sha256)
        if blob is not None and is_stored(env, blob):
            stored.add(sha256)
        elif blob is not None:
            # No client should send all bytes again because a folder is not mounted.
            env.blobs.check_medium()
        # A thousand looks at disk and database: others have their turn in between, and a deadline its effect.
        await asyncio.sleep(0)
    stored &= await find_readable(read, request.caller, digests)
    return Presence([sha256 for sha256 in digests if sha256 not in stored], until)


async def find_readable(records: Records, caller: Caller, digests: Sequence[str]) -> set[str]:
    """Those of the blobs that the caller sent, or may read as files of some version.

    Of all others it must not even hear that they are here: whoever learnt a digest would get its bytes.
    """
    patterns = caller.covered_patterns(Right.READ)
    return set(digests) if patterns == ("*",) else await records.artifacts.find_readable(digests, caller.name, patterns)


def is_stored(env: Environment, blob: Blob) -> bool:
    """Whether the bytes are here: those that a disk lost must be sent again, whatever the row says."""
    return blob.quarantined_at is None and env.blobs.has_blob(blob.sha256, blob.size)


async def verify_blob(env: Environment, request: WriteRequest, sha256: str, bytes_per_s: float = 0.0) -> Verification:
    """Whether the bytes are what their digest says; those that are not go into quarantine, and the log says so.

    A blob in quarantine whose file was put back as it should be is served again from then on.

    Raises:
        BlobNotFound: there is no such blob.
        StorageUnavailable: the whole medium is missing; then nothing is known of the blob, and nothing is changed.
    """
    request.caller.check_right(Right.READ)
    names.check_sha256(sha256)
    blob = await env.database.read.artifacts.find_blob(sha256)
    if blob is None or not await find_readable(env.database.read, request.caller, [sha256]):
        raise errors.BlobNotFound(sha256)
    damage = await env.blobs.verify(sha256, bytes_per_s)
    if damage is not None:
        # Bytes that are missing with their whole medium are not damaged.
        env.blobs.check_medium()
    if (damage is None) == (blob.quarantined_at is None):
        return Verification(await _redact(env.database.read, request.caller, blob), sound=damage is None)
    if damage is None:
        await env.blobs.make_durable(sha256)
        answer = await execute(env, request, lambda records, _: _restore(env, records, sha256))
    else:
        answer = await execute(env, request, lambda records, by: _quarantine(env, records, by, sha256, damage))
    after = msgspec.json.decode(answer.body, type=Blob)
    if after.quarantined_at == request.at:
        _log.error("blob %s is damaged and in quarantine now: upload its bytes again", sha256)
    after = await _redact(env.database.read, request.caller, after)
    return Verification(after, sound=after.quarantined_at is None)


async def _quarantine(
    env: Environment, records: Records, request: WriteRequest, sha256: str, damage: str
) -> Outcome[Blob]:
    before = await records.artifacts.find_blob(sha256)
    if before is None:
        raise errors.BlobNotFound(sha256)
    if before.quarantined_at is not None or not env.blobs.quarantine(sha256, damage):
        return Outcome(before, None)
    after = msgspec.structs.replace(before, quarantined_at=request.at)
    await records.artifacts.update_blob(before, after)
    return Outcome(after, changes.changed("blob.quarantined", (key(sha256), before, after)))


async def _restore(env: Environment, records: Records, sha256: str) -> Outcome[Blob]:
    before = await records.artifacts.find_blob(sha256)
    if before is None:
        raise errors.BlobNotFound(sha256)
    if before.quarantined_at is None or not env.blobs.has_blob(sha256, before.size):
        return Outcome(before, None)
    return Outcome(*await _release_from_quarantine(records, before))


async def get_file(env: Environment, caller: Caller, name: str, version: int, path: str) -> FileEntry:
    """One file of a version, whose bytes are here; a tombstoned version serves none, a recalled one only auditors.

    Raises:
        VersionRecalled: the version is blocked.
        FileNotFound: the version serves no such file.
        BlobDamaged: the bytes of the file are damaged or lost.
    """
    model = await models.get(env.database, caller, name)
    found = await versions.get(env.database, caller, name, version)
    names.check_artifact_path(path)
    file = await env.database.read.versions.find_file(name, version, path)
    if not caller.has_right(Right.READ_LOG):
        # Whoever reads the whole log may also look at what was recalled, to find out about it.
        versions.check_not_recalled(found)
    if file is None or found.tombstone is not None or model.tombstone is not None:
        raise errors.FileNotFound(name, version, path)
    blob = await env.database.read.artifacts.find_blob(file.sha256)
    if blob is None or not is_stored(env, blob):
        env.blobs.check_medium()
        raise errors.BlobDamaged(file)
    return file
