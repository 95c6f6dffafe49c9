"""Bytes: blobs are published before any version may name them, and served by the version that names them."""

from collections.abc import AsyncIterator, Iterable

from common_lib.rules import names
from registry_server.core import changes, models, versions
from registry_server.core.acts import Act, Outcome, Ports, perform
from registry_server.core.ports import Records
from registry_server.core.rights import Caller, Right
from registry_server.domain.answers import Answer
from registry_server.domain.artifacts import Blob, FileEntry
from registry_server.domain.errors import NotFound


def key(sha256: str) -> str:
    """The key of a blob in events."""
    return f"blobs/{sha256}"


async def publish(ports: Ports, act: Act, sha256: str, chunks: AsyncIterator[bytes], limit: int) -> Answer:
    """Store bytes under their digest: file first, durably, then the row, then the answer."""
    act.caller.require(Right.UPLOAD)
    names.check_sha256(sha256)
    size = await ports.blobs.put(sha256, chunks, limit)

    async def record(records: Records, act: Act) -> Outcome[Blob]:
        blob = Blob(sha256, size, act.caller.name, act.at)
        if await records.artifacts.insert_blob(blob):
            return Outcome(blob, changes.created("blob.published", key(sha256), blob), status=201)
        return Outcome(await records.artifacts.blob(sha256) or blob, None)

    return await perform(ports, act, record)


async def find(ports: Ports, caller: Caller, sha256: str) -> Blob:
    """The row of a blob; uploaders ask for it to learn whether its bytes must be sent."""
    caller.require(Right.UPLOAD)
    blob = await ports.database.read.artifacts.blob(names.check_sha256(sha256))
    # Bytes that a disk lost must be sent again, whatever the row says.
    if blob is None or not await ports.blobs.holds(sha256, blob.size):
        raise NotFound(
            f"there is no blob {sha256}",
            remedy=f"PUT its bytes to /v1/blobs/{sha256}",
            field="sha256",
            value=sha256,
            code="blob_not_found",
        )
    return blob


async def read(ports: Ports, caller: Caller, name: str, version: int, path: str) -> tuple[FileEntry, Iterable[bytes]]:
    """One file of a version and its bytes in chunks; a tombstoned version serves no bytes."""
    model = await models.get(ports.database, caller, name)
    found = await versions.get(ports.database, caller, name, version)
    names.check_artifact_path(path)
    file = await ports.database.read.versions.file(name, version, path)
    if file is None or found.tombstone is not None or model.tombstone is not None:
        raise NotFound(
            f"version {version} of {name!r} serves no file {path!r}",
            remedy="read its manifest for the files there are; a tombstoned version serves none",
            field="path",
            value=path,
            code="file_not_found",
        )
    size, chunks = await ports.blobs.open(file.sha256)
    if size != file.size:
        raise NotFound(
            f"the bytes of {path!r} are damaged: {size} of {file.size}",
            remedy="upload the file again, or restore it from a backup",
            field="sha256",
            value=file.sha256,
            code="blob_not_found",
        )
    return file, chunks
