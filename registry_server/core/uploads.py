"""Uploads in parts: what has come stays when the connection is cut, and each part is checked when it is whole.

A part carries the SHA-256 of all bytes up to its end. So every byte is hashed once on either side, parts are found
wrong one by one, and the digest of the last one is that of the blob.
"""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

import msgspec

from common_lib.rules import names
from common_lib.rules.uploads import Upload
from registry_server.core import artifacts
from registry_server.core.environment import Environment
from registry_server.core.ports import Records
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import WriteRequest
from registry_server.domain import errors
from registry_server.domain.uploads import Progress

_EMPTY_SHA256: Final = hashlib.sha256().hexdigest()


class Quota(NamedTuple):
    """Bytes of one blob, uploads of one principal under way, and bytes that these announce; 0 of the last two: any."""

    blob_bytes: int
    uploads: int
    announced_bytes: int


async def begin(env: Environment, request: WriteRequest, sha256: str, size: int, quota: Quota) -> Upload:
    """How much of these bytes is here already: all, if the blob is the caller's to know; else what came of its own.

    Raises:
        BlobTooLarge: there are more bytes than a blob may have.
        UploadSizeChanged: the caller is sending bytes of another size under that digest.
        TooManyUploads, TooManyAnnouncedBytes: the caller has reached one of its quotas.
    """
    request.caller.check_right(Right.UPLOAD)
    names.check_sha256(sha256)
    if size > quota.blob_bytes:
        raise errors.BlobTooLarge("size", size, quota.blob_bytes)
    principal, until = request.caller.name, request.at + artifacts.LEASE

    async def store_progress(records: Records) -> Progress:
        # The lease comes before the look: what is seen after it is not removed.
        await records.artifacts.lease([sha256], principal, until)
        found = await records.uploads.find(sha256, principal)
        if found is not None and found.size != size:
            raise errors.UploadSizeChanged(found, size)
        if found is None:
            await _check_quota(records, request, size, quota)
        progress = found or Progress(sha256, principal, size, 0, _EMPTY_SHA256, until)
        progress = msgspec.structs.replace(progress, expires_at=until)
        await records.uploads.put(progress)
        return progress

    progress = await env.database.write(store_progress)
    read = env.database.read
    blob = await read.artifacts.find_blob(sha256)
    if (
        blob is not None
        and artifacts.is_stored(env, blob)
        and await artifacts.find_readable(read, request.caller, [sha256])
    ):
        # A part that is still on its way forgets the upload itself, or leaves it to expire.
        with contextlib.suppress(errors.UploadPartInFlight), _exclusive(env, progress.principal, sha256):
            await _delete(env, progress)
        return Upload(sha256, blob.size, blob.size, complete=True, expires_at=until)
    return _to_upload(progress)


async def _check_quota(records: Records, request: WriteRequest, size: int, quota: Quota) -> None:
    uploads, announced = await records.uploads.count_open(request.caller.name, request.at)
    if quota.uploads and uploads >= quota.uploads:
        raise errors.TooManyUploads(size, request.caller.name, quota.uploads)
    if quota.announced_bytes and announced + size > quota.announced_bytes:
        raise errors.TooManyAnnouncedBytes(size, request.caller.name, quota.announced_bytes)


async def get(env: Environment, caller: Caller, sha256: str) -> Upload:
    """How far the caller's upload of these bytes is.

    Raises:
        UploadNotFound: there is none; somebody else's is none of the caller's.
    """
    return _to_upload(await _get_own(env, caller, sha256))


async def append_part(
    env: Environment,
    request: WriteRequest,
    sha256: str,
    chunks: AsyncIterator[bytes],
    *,
    start: int,
    prefix_sha256: str,
) -> Upload:
    """Take the next part; with the last one the blob is published.

    Raises:
        UploadNotFound, UploadLost: the caller has no such upload, or its earlier bytes are lost.
        UploadOutOfStep: the part does not begin where the one before ended.
        UploadPartInFlight: another part of the upload is on its way.
    """
    names.check_sha256(prefix_sha256)
    with _exclusive(env, request.caller.name, sha256):
        upload = await _get_own(env, request.caller, sha256)
        if start != upload.received:
            raise errors.UploadOutOfStep(upload, start)
        return await _append(env, request, upload, prefix_sha256, chunks)


async def delete(env: Environment, caller: Caller, sha256: str) -> None:
    """Forget the caller's upload and remove what came of it.

    Raises:
        UploadPartInFlight: a part of the upload is on its way.
    """
    with _exclusive(env, caller.name, sha256):
        await _delete(env, await _get_own(env, caller, sha256))


async def delete_expired(env: Environment) -> int:
    """Forget the uploads that nobody went on with, and say how many."""
    count = 0
    for upload in await env.database.read.uploads.list_expired(env.now()):
        with contextlib.suppress(errors.UploadPartInFlight), _exclusive(env, upload.principal, upload.sha256):
            await _delete(env, upload)
            count += 1
    return count


@contextlib.contextmanager
def _exclusive(env: Environment, principal: str, sha256: str) -> Iterator[None]:
    """A block in which nobody else writes to the upload or takes its bytes away."""
    claim = (f"upload of {principal}", sha256)
    if claim in env.in_flight:
        raise errors.UploadPartInFlight(sha256)
    env.in_flight.add(claim)
    try:
        yield
    finally:
        env.in_flight.discard(claim)


async def _append(
    env: Environment, request: WriteRequest, upload: Progress, prefix_sha256: str, chunks: AsyncIterator[bytes]
) -> Upload:
    try:
        received = await env.blobs.append_part(
            _storage_name(upload),
            chunks,
            start=upload.received,
            start_sha256=upload.prefix_sha256,
            limit=upload.size - upload.received,
            prefix_sha256=prefix_sha256,
        )
    except errors.UploadLost:
        await _store_progress(env, request, upload, 0, _EMPTY_SHA256)
        raise
    if received < upload.size:
        return _to_upload(await _store_progress(env, request, upload, received, prefix_sha256))
    if prefix_sha256 != upload.sha256:
        # All bytes are here and each part was what the client said: so it is the announcement that is wrong.
        await _delete(env, upload)
        raise errors.UploadDigestMismatch(upload, prefix_sha256)
    await env.blobs.publish_upload(_storage_name(upload), upload.sha256)
    await artifacts.record_blob(env, request, upload.sha256, upload.size)
    await _delete(env, upload)
    return Upload(upload.sha256, upload.size, upload.size, complete=True, expires_at=request.at + artifacts.LEASE)


async def _store_progress(
    env: Environment, request: WriteRequest, upload: Progress, received: int, prefix_sha256: str
) -> Progress:
    now = msgspec.structs.replace(
        upload, received=received, prefix_sha256=prefix_sha256, expires_at=request.at + artifacts.LEASE
    )
    await env.database.write(lambda records: records.uploads.put(now))
    return now


async def _delete(env: Environment, upload: Progress) -> None:
    await env.blobs.delete_upload(_storage_name(upload))
    await env.database.write(lambda records: records.uploads.delete(upload.sha256, upload.principal))


async def _get_own(env: Environment, caller: Caller, sha256: str) -> Progress:
    caller.check_right(Right.UPLOAD)
    upload = await env.database.read.uploads.find(names.check_sha256(sha256), caller.name)
    if upload is None:
        raise errors.UploadNotFound(sha256)
    return upload


def _storage_name(upload: Progress) -> str:
    return f"{upload.principal}.{upload.sha256}"


def _to_upload(progress: Progress) -> Upload:
    return Upload(progress.sha256, progress.size, progress.received, complete=False, expires_at=progress.expires_at)
