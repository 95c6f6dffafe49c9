"""Use cases for artifacts: store blobs before a version references them, verify blobs, and serve files of versions."""

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
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import Outcome, WriteRequest, execute
from registry_server.domain import errors
from registry_server.domain.answers import Answer
from registry_server.domain.artifacts import Blob, FileEntry, Verification
from registry_server.domain.events import Change
from registry_server.queries import Records

# An upload may pause for this long. A client must create the version that references the bytes within this time.
LEASE: Final = timedelta(hours=24)
_log = logging.getLogger(__name__)


def key(sha256: str) -> str:
    """Return the key that identifies a blob in events."""
    return f"blobs/{sha256}"


async def put_blob(
    env: Environment, request: WriteRequest, sha256: str, chunks: AsyncIterator[bytes], limit: int
) -> Answer:
    """Store bytes under their digest: first the durable file, then the row, then the answer."""
    request.caller.check_right(Right.UPLOAD)
    names.check_sha256(sha256)
    size = await env.blobs.put(sha256, chunks, limit)
    return await record_blob(env, request, sha256, size)


async def put_blobs(env: Environment, request: WriteRequest, blobs: dict[str, bytes]) -> Presence:
    """Store several small blobs: first the durable files, then all rows with one event, then the answer."""
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
    """Insert the row of a blob whose bytes were just published, and give the caller a lease on the blob."""

    async def record(records: Records, request: WriteRequest) -> Outcome[Blob]:
        known = await records.artifacts.find_sent_until(sha256, request.caller.name) is not None
        _, change = await _insert_blob(env, records, request, sha256, size)
        # The answer is about this request only: the caller must not learn who else sent these bytes, or when.
        return Outcome(Blob(sha256, size, request.caller.name, request.at), change, status=200 if known else 201)

    return await execute(env, request, record)


async def _insert_blob(
    env: Environment, records: Records, request: WriteRequest, sha256: str, size: int
) -> tuple[Blob, Change | None]:
    blob = Blob(sha256, size, request.caller.name, request.at)
    inserted = await records.artifacts.insert_blob(blob)
    await records.artifacts.lease([sha256], request.caller.name, request.at + LEASE, sent=True)
    # From here on the row is locked: the collector has removed file and row before, or it finds the lease.
    if not env.blobs.has_blob(sha256, size):
        raise errors.BytesCollected
    if inserted:
        return blob, changes.created("blob.published", key(sha256), blob)
    before = await records.artifacts.find_blob(sha256) or blob
    if before.quarantined_at is None:
        return before, None
    return await _release_from_quarantine(records, before)


async def _release_from_quarantine(records: Records, before: Blob) -> tuple[Blob, Change]:
    """Take a blob out of quarantine; return the blob and the change."""
    after = msgspec.structs.replace(before, quarantined_at=None)
    await records.artifacts.update_blob(before, after)
    return after, changes.changed("blob.restored", (key(before.sha256), before, after))


async def get_blob(env: Environment, caller: Caller, sha256: str) -> Blob:
    """Return a blob whose bytes are stored.

    Raises:
        BlobNotFound: the bytes are missing or damaged, or the caller may not read them.
    """
    caller.check_right(Right.UPLOAD)
    blob = await env.database.read.artifacts.find_blob(names.check_sha256(sha256))
    if blob is not None and not is_stored(env, blob):
        env.blobs.check_medium()
    if blob is None or not is_stored(env, blob) or not await find_readable(env.database.read, caller, [sha256]):
        raise errors.BlobNotFound(sha256)
    return await _redact(env.database.read, caller, blob)


async def _redact(records: Records, caller: Caller, blob: Blob) -> Blob:
    """Return a blob without data about other principals, unless the caller may read all models.

    A caller that sent the blob gets its own name and time. Another caller gets the author and the time of the oldest
    version that contains the blob, among the versions that this caller may read.
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
    """Return the digests whose bytes the caller must still send, and give the caller a lease on the other blobs.

    If `model` is given, the request is refused before any byte is sent when the caller cannot register a version of the
    model.

    Raises:
        ModelNotFound, ModelTombstoned, RightMissing: the caller cannot register a version of the model.
    """
    request.caller.check_right(Right.UPLOAD)
    if model is not None:
        await models.get_usable(env.database.read, request.caller, Right.REGISTER, model)
    until = request.at + LEASE
    # The lease comes first: the collector does not remove bytes that are found after it.
    await env.database.write(lambda records: records.artifacts.lease(digests, request.caller.name, until))
    read = env.database.read
    stored = set()
    for sha256 in digests:
        blob = await read.artifacts.find_blob(sha256)
        if blob is not None and is_stored(env, blob):
            stored.add(sha256)
        elif blob is not None:
            # A client must not send all bytes again because a folder is not mounted.
            env.blobs.check_medium()
        # There may be a thousand digests: other requests and the deadline get their turn here.
        await asyncio.sleep(0)
    stored &= await find_readable(read, request.caller, digests)
    return Presence([sha256 for sha256 in digests if sha256 not in stored], until)


async def find_readable(records: Records, caller: Caller, digests: Sequence[str]) -> set[str]:
    """Return the digests of the blobs that the caller has sent or may read as files of a version.

    The registry must not reveal whether any other blob is stored: knowing a digest must not give access to the bytes.
    """
    patterns = caller.covered_patterns(Right.READ)
    return set(digests) if patterns == ("*",) else await records.artifacts.find_readable(digests, caller.name, patterns)


def is_stored(env: Environment, blob: Blob) -> bool:
    """Return whether the bytes of a blob are in the blob store.

    A row alone does not prove it, because disks lose files.
    """
    return blob.quarantined_at is None and env.blobs.has_blob(blob.sha256, blob.size)


async def verify_blob(env: Environment, request: WriteRequest, sha256: str, bytes_per_s: float = 0.0) -> Verification:
    """Hash the stored bytes of a blob.

    Move damaged bytes to quarantine; take a blob with restored bytes out of quarantine.

    Raises:
        BlobNotFound: the blob does not exist, or the caller may not read it.
        StorageUnavailable: the medium is missing, so the state of the blob is unknown; nothing is changed.
    """
    request.caller.check_right(Right.READ)
    names.check_sha256(sha256)
    blob = await env.database.read.artifacts.find_blob(sha256)
    if blob is None or not await find_readable(env.database.read, request.caller, [sha256]):
        raise errors.BlobNotFound(sha256)
    damage = await env.blobs.verify(sha256, bytes_per_s)
    if damage is not None:
        # Bytes are not damaged if the whole medium is missing.
        env.blobs.check_medium()
    if (damage is None) == (blob.quarantined_at is None):
        return Verification(await _redact(env.database.read, request.caller, blob), sound=damage is None)
    if damage is None:
        await env.blobs.sync_restored_blob(sha256)
        answer = await execute(env, request, lambda records, _: _restore(env, records, sha256))
    else:
        answer = await execute(env, request, lambda records, by: _quarantine(env, records, by, sha256, damage))
    after = msgspec.json.decode(answer.body, type=Blob)
    if after.quarantined_at == request.at:
        _log.error("blob %s is damaged and is now in quarantine: upload its bytes again", sha256)
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
    """Return the entry of a file whose bytes are stored; only auditors get the files of a recalled version.

    Raises:
        VersionRecalled: the version is recalled.
        FileNotFound: the version has no file with that path.
        BlobDamaged: the bytes of the file are damaged or lost.
    """
    model = await models.get(env.database, caller, name)
    found = await versions.get(env.database, caller, name, version)
    names.check_artifact_path(path)
    file = await env.database.read.versions.find_file(name, version, path)
    if not caller.has_right(Right.READ_LOG):
        # Callers who may read the whole log may investigate recalled versions.
        versions.check_not_recalled(found)
    if file is None or found.tombstone is not None or model.tombstone is not None:
        raise errors.FileNotFound(name, version, path)
    blob = await env.database.read.artifacts.find_blob(file.sha256)
    if blob is None or not is_stored(env, blob):
        env.blobs.check_medium()
        raise errors.BlobDamaged(file)
    return file
