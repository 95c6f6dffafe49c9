"""The flow that registers a version: hash the files, send the missing bytes to the registry, create the version."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import partial

from common_lib.artifacts.hashing import PART_BYTES, LocalFile, hash_files, parse_local_path, total_size
from common_lib.artifacts.progress import ProgressListener, ignore_progress
from common_lib.errors import RegistryUnavailable, RequestInFlight, UploadNotFound, UploadOutOfStep
from common_lib.operations import artifacts, uploads, versions
from common_lib.operations.base import Flow, Parallel, RunInThread, Source
from common_lib.rules.artifacts import MAX_BLOBS_PER_REQUEST, MAX_DIGESTS_PER_REQUEST
from common_lib.rules.fields import Scalar
from common_lib.rules.uploads import Upload
from common_lib.types.artifacts import FileEntry
from common_lib.types.versions import Lineage, ModelVersion, Signature

_SMALL_BYTES = 256 * 1024
_BATCH_BYTES = 4 * 1024**2
_MUCH_BYTES = 64 * 1024**2
_ANY_FILE = FileEntry(path="any", size=0, sha256=hashlib.sha256(b"").hexdigest())
# How often a part may fail before the upload fails; the registry keeps the parts before it.
_TRIES = 4


def register(
    origin: str,  # noqa: ARG001 - every flow takes it
    /,
    name: str,
    path: str | os.PathLike[str],
    *,
    framework: str,
    description: str | None = None,
    parameters: Mapping[str, Scalar] | None = None,
    metrics: Mapping[str, float] | None = None,
    signature: Signature | None = None,
    lineage: Lineage | None = None,
    tags: Mapping[str, str] | None = None,
    progress: ProgressListener = ignore_progress,
) -> Flow[ModelVersion]:
    """Register a local file or folder as the next version of a model; do not send bytes that the registry already has.

    All bytes are uploaded before the version is created, and the registry verifies each digest. Large files are sent in
    parts; after a lost connection, call `register` again with the same arguments to continue the upload. `progress` is
    called with the path of a file, the number of its bytes that are hashed or sent so far, and its size.

    Raises:
        InvalidRequest: a file does not exist, or its path is not allowed in a version.
        ModelNotFound: the model does not exist; no bytes were sent.
        Tombstoned: the model is tombstoned; no bytes were sent.
        Forbidden: the caller does not have the right to register; no bytes were sent.
    """
    source = parse_local_path("path", path)
    create = partial(
        versions.create,
        name,
        framework=framework,
        description=description,
        parameters=parameters,
        metrics=metrics,
        signature=signature,
        lineage=lineage,
        tags=tags,
    )
    # Invalid facts are refused before the files are read; this check needs some file entry, so it uses a dummy.
    create([_ANY_FILE])
    if (yield RunInThread(lambda: total_size(source) > _MUCH_BYTES)):
        # Hashing takes long: find out before it whether the caller can register. For little data `send` does it.
        yield artifacts.check_presence([], name)
    files: list[LocalFile] = yield RunInThread(lambda: hash_files(source, progress))
    creation = create([file.entry for file in files])  # checks the real entries before any bytes are sent
    yield from send(files, progress, model=name)
    version: ModelVersion = yield creation
    return version


def send(
    files: list[LocalFile], progress: ProgressListener = ignore_progress, *, model: str | None = None
) -> Flow[None]:
    """Send the files whose bytes the registry does not have. The registry keeps all blobs of `files` for a day or more.

    With `model`, check first that the caller can register a version of that model; if not, raise and send nothing.
    """
    wanted = {file.entry.sha256: file for file in files}
    digests = list(wanted)
    missing: list[str] = []
    for start in range(0, len(digests), MAX_DIGESTS_PER_REQUEST):
        answer = yield artifacts.check_presence(digests[start : start + MAX_DIGESTS_PER_REQUEST], model)
        missing += answer.missing
    # The largest first, so that the last transfer to end is a short one.
    ordered = sorted((wanted[sha256] for sha256 in missing), key=lambda file: -file.entry.size)
    single = [_send_file(file, progress) for file in ordered if file.entry.size > _SMALL_BYTES]
    yield Parallel([*single, *(_send_batch(batch, progress) for batch in _batches(ordered))])


def _batches(files: list[LocalFile]) -> Iterator[list[LocalFile]]:
    """Group the small files: each group is sent in one request, because requests cost more than small files."""
    batch: list[LocalFile] = []
    size = 0
    for file in files:
        if file.entry.size > _SMALL_BYTES:
            continue
        if len(batch) == MAX_BLOBS_PER_REQUEST or size + file.entry.size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.entry.size
    if batch:
        yield batch


def _send_batch(files: list[LocalFile], progress: ProgressListener) -> Flow[None]:
    if len(files) == 1:
        yield from _send_file(files[0], progress)
        return
    blobs = yield RunInThread(lambda: {file.entry.sha256: file.path.read_bytes() for file in files})
    yield artifacts.put_blobs(blobs)
    for file in files:
        progress(file.entry.path, file.entry.size, file.entry.size)


def _send_file(file: LocalFile, progress: ProgressListener) -> Flow[None]:
    entry = file.entry

    def on_progress(position: int) -> None:
        progress(entry.path, position, entry.size)

    if entry.size <= PART_BYTES:
        yield artifacts.put_blob(entry.sha256, Source(file.path, 0, entry.size, on_progress))
    else:
        yield from _send_in_parts(file, partial(Source, file.path, sent=on_progress))


def _send_in_parts(file: LocalFile, source: "partial[Source]") -> Flow[None]:
    entry = file.entry
    upload: Upload = yield uploads.begin_upload(entry.sha256, entry.size)
    failed = 0
    while not upload.complete:
        number = upload.received // PART_BYTES
        end = min((number + 1) * PART_BYTES, entry.size)
        part = source(start=upload.received, length=end - upload.received)
        try:
            upload = yield uploads.put_part(entry.sha256, part, file.prefixes[number])
            failed = 0
        except (RegistryUnavailable, RequestInFlight, UploadNotFound, UploadOutOfStep):
            # The connection broke, an answer was lost, or another process with this token sends the same bytes: the
            # registry reports how much it has.
            failed += 1
            if failed == _TRIES:
                raise
            before = upload.received
            upload = yield uploads.begin_upload(entry.sha256, entry.size)
            if upload.received > before:
                failed = 0
