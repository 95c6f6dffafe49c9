"""Uploads in parts: received bytes survive a broken connection, and each complete part is checked.

Each part comes with the SHA-256 of all bytes from the beginning of the upload to the end of the part. So client and
server hash each byte only once, a wrong part is detected on arrival, and the digest of the last part is the digest of
the blob.
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
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import WriteRequest
from registry_server.domain import errors
from registry_server.domain.uploads import Progress
from registry_server.queries import Records

_EMPTY_SHA256: Final = hashlib.sha256().hexdigest()


class Quota(NamedTuple):
    """Limits: bytes of one blob, open uploads of one principal, and announced bytes of these uploads.

    0 disables either of the last two limits.
    """

    blob_bytes: int
    uploads: int
    announced_bytes: int


async def begin(env: Environment, request: WriteRequest, sha256: str, size: int, quota: Quota) -> Upload:
    """Begin or continue the caller's upload.

    The upload is complete at once if the bytes are stored and the caller may read them.

    Raises:
        BlobTooLarge: the size is larger than a blob may be.
        UploadSizeChanged: the caller has an open upload with that digest and another size.
        TooManyUploads, TooManyAnnouncedBytes: the caller has reached one of its quotas.
    """
    request.caller.check_right(Right.UPLOAD)
    names.check_sha256(sha256)
    if size > quota.blob_bytes:
        raise errors.BlobTooLarge("size", size, quota.blob_bytes)
    principal, until = request.caller.name, request.at + artifacts.LEASE

    async def store_progress(records: Records) -> Progress:
        # The lease comes first: the collector does not remove bytes that are found after it.
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
        # If a part is still being received, its request deletes the upload, or the upload expires.
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
    """Return the progress of the caller's upload of these bytes.

    Raises:
        UploadNotFound: the caller has no such upload.
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
    """Append the next part to an upload; the last part publishes the blob.

    Raises:
        UploadNotFound, UploadLost: the caller has no such upload, or the bytes of its earlier parts are lost.
        UploadOutOfStep: the part does not begin where the previous part ended.
        UploadPartInFlight: another part of the upload is being received.
    """
    names.check_sha256(prefix_sha256)
    with _exclusive(env, request.caller.name, sha256):
        upload = await _get_own(env, request.caller, sha256)
        if start != upload.received:
            raise errors.UploadOutOfStep(upload, start)
        return await _append(env, request, upload, prefix_sha256, chunks)


async def delete(env: Environment, caller: Caller, sha256: str) -> None:
    """Delete the caller's upload and its received bytes.

    Raises:
        UploadPartInFlight: a part of the upload is being received.
    """
    with _exclusive(env, caller.name, sha256):
        await _delete(env, await _get_own(env, caller, sha256))


async def delete_expired(env: Environment) -> int:
    """Delete expired uploads, and return their number."""
    count = 0
    for upload in await env.database.read.uploads.list_expired(env.now()):
        with contextlib.suppress(errors.UploadPartInFlight), _exclusive(env, upload.principal, upload.sha256):
            await _delete(env, upload)
            count += 1
    return count


@contextlib.contextmanager
def _exclusive(env: Environment, principal: str, sha256: str) -> Iterator[None]:
    """Hold the claim on an upload. Meanwhile no other request can append to the upload or delete it."""
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
        # All bytes are stored and the digest of each part was correct, so the announced digest is wrong.
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
