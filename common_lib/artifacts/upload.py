"""The flow that registers: hash, ask what is missing, send only that, and then create the version."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import partial

from common_lib.artifacts.hashing import PART_BYTES, LocalFile, hash_files, parse_local_path, total_size
from common_lib.artifacts.progress import ProgressListener, ignore_progress
from common_lib.errors import RegistryUnavailable, RequestInFlight, UploadNotFound, UploadOutOfStep
from common_lib.operations import artifacts, versions
from common_lib.operations.base import Blocking, Flow, Source, Together
from common_lib.rules.transfers import MAX_ASKED, MAX_TOGETHER
from common_lib.types.artifacts import FileEntry
from common_lib.types.base import Scalar
from common_lib.types.uploads import Upload
from common_lib.types.versions import Lineage, ModelVersion, Signature

_SMALL_BYTES = 256 * 1024
_BATCH_BYTES = 4 * 1024**2
_MUCH_BYTES = 64 * 1024**2
_ANY_FILE = FileEntry(path="any", size=0, sha256=hashlib.sha256(b"").hexdigest())
# How often a part may fail before the upload is given up; what came before it stays at the registry.
_TRIES = 4


def register(
    origin: str,  # noqa: ARG001 - every flow is told it
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
    """The next version of a model out of a local file or a whole folder; bytes that are there are not sent again.

    A version never exists without all its bytes: they are uploaded first, and the registry checks each digest. Large
    files go in parts; after a cut, the same call goes on where it ended. `progress` is told the path of a file, how
    many bytes of it are hashed or sent, and how many it has.

    Raises:
        InvalidRequest: there is no such file, or its path within the folder is not allowed.
        ModelNotFound: the model was not created before; no bytes were sent.
        Tombstoned: the model was taken out of use; no bytes were sent.
        Forbidden: the caller lacks the right to register; no bytes were sent.
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
    # Facts that can never be accepted are refused before a byte of the files is read: any file will do for that.
    create([_ANY_FILE])
    if (yield Blocking(lambda: total_size(source) > _MUCH_BYTES)):
        # Hashing takes a while: a wrong name is refused before it. Otherwise the first request about the bytes says so.
        yield artifacts.presence([], name)
    files: list[LocalFile] = yield Blocking(lambda: hash_files(source, progress))
    made = create([file.entry for file in files])  # before the bytes are sent, for the same reason
    yield from send(files, progress, model=name)
    version: ModelVersion = yield made
    return version


def send(
    files: list[LocalFile], progress: ProgressListener = ignore_progress, *, model: str | None = None
) -> Flow[None]:
    """Send those bytes of these files that the registry lacks; it keeps them all for a day.

    With `model`, nothing is sent unless the caller can register a version of that model.
    """
    wanted = {file.entry.sha256: file for file in files}
    digests = list(wanted)
    missing: list[str] = []
    for start in range(0, len(digests), MAX_ASKED):
        answer = yield artifacts.presence(digests[start : start + MAX_ASKED], model)
        missing += answer.missing
    # The largest first: at the end none of them is waited for alone.
    ordered = sorted((wanted[sha256] for sha256 in missing), key=lambda file: -file.entry.size)
    alone = [_sent(file, progress) for file in ordered if file.entry.size > _SMALL_BYTES]
    yield Together([*alone, *(_sent_together(batch, progress) for batch in _batches(ordered))])


def _batches(files: list[LocalFile]) -> Iterator[list[LocalFile]]:
    """The small ones in groups: what a request costs is far more than what they do."""
    batch: list[LocalFile] = []
    size = 0
    for file in files:
        if file.entry.size > _SMALL_BYTES:
            continue
        if len(batch) == MAX_TOGETHER or size + file.entry.size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.entry.size
    if batch:
        yield batch


def _sent_together(files: list[LocalFile], progress: ProgressListener) -> Flow[None]:
    if len(files) == 1:
        yield from _sent(files[0], progress)
        return
    blobs = yield Blocking(lambda: {file.entry.sha256: file.place.read_bytes() for file in files})
    yield artifacts.put_blobs(blobs)
    for file in files:
        progress(file.entry.path, file.entry.size, file.entry.size)


def _sent(file: LocalFile, progress: ProgressListener) -> Flow[None]:
    entry = file.entry

    def told(position: int) -> None:
        progress(entry.path, position, entry.size)

    if entry.size <= PART_BYTES:
        yield artifacts.put_blob(entry.sha256, Source(file.place, 0, entry.size, told))
    else:
        yield from _sent_in_parts(file, partial(Source, file.place, sent=told))


def _sent_in_parts(file: LocalFile, source: "partial[Source]") -> Flow[None]:
    entry = file.entry
    upload: Upload = yield artifacts.begin_upload(entry.sha256, entry.size)
    failed = 0
    while not upload.complete:
        number = upload.received // PART_BYTES
        end = min((number + 1) * PART_BYTES, entry.size)
        part = source(start=upload.received, length=end - upload.received)
        try:
            upload = yield artifacts.put_part(entry.sha256, part, file.prefixes[number])
            failed = 0
        except (RegistryUnavailable, RequestInFlight, UploadNotFound, UploadOutOfStep):
            # Cut, or an answer was lost on its way here, or another process with this token is at the same bytes: the
            # registry knows how much it has.
            failed += 1
            if failed == _TRIES:
                raise
            before = upload.received
            upload = yield artifacts.begin_upload(entry.sha256, entry.size)
            if upload.received > before:
                failed = 0
