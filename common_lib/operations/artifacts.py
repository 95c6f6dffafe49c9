"""Bytes: blobs on their way in, files of a version on their way out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from common_lib.operations.answers import about, wrong
from common_lib.operations.base import Answer, Operation, Sink, Source, checked, given, nothing, path, reads
from common_lib.rules.artifacts import BLOBS_MEDIA_TYPE, Presence
from common_lib.rules.collection import Collection
from common_lib.rules.names import check_artifact_path, check_model_name, check_sha256
from common_lib.rules.uploads import Upload
from common_lib.types.artifacts import Blob, PresenceRequest, Verification
from common_lib.types.collection import CollectionRequest
from common_lib.types.uploads import UploadRequest

_blob = reads(Blob)
_presence = reads(Presence)
_upload = reads(Upload)
_verification = reads(Verification)
_collection = reads(Collection)


def find_blob(sha256: str) -> Operation[Blob]:
    """The blob of that digest.

    Raises:
        BlobNotFound: its bytes are not at the registry.
    """
    return Operation("GET", path("blobs", checked(check_sha256, sha256)), about(_blob, sha256=sha256))


def presence(sha256: Sequence[str], model: str | None = None) -> Operation[Presence]:
    """Which of these bytes, of up to 1,000 digests, must be sent; the registry keeps the others until they are named.

    The promise is good for a day; the version that names the bytes must be created within it. With `model`, the
    registry also checks that the caller can register a version of that model.

    Raises:
        ModelNotFound: there is no such model for this caller.
        Tombstoned: the model was taken out of use.
        Forbidden: the caller lacks the right to register.
    """
    asked = list(sha256)
    name = None if model is None else checked(check_model_name, model)

    def read(answer: Answer) -> Presence:
        found: Presence = _presence(answer)
        if stray := set(found.missing) - set(asked):
            raise wrong("missing", min(stray), "it was not asked for")
        return found

    return Operation("POST", path("presence"), read, body=given(PresenceRequest, sha256=asked, model=name))


def put_blob(sha256: str, file: Path | Source) -> Operation[Blob]:
    """The blob, once the bytes of a local file are durable at the registry.

    Raises:
        InvalidRequest: `digest_mismatch`: the file has other bytes than were announced.
    """
    source = file if isinstance(file, Source) else Source(Path(file))
    target = path("blobs", checked(check_sha256, sha256))
    return Operation("PUT", target, about(_blob, sha256=sha256), "blob", upload=source)


def put_blobs(blobs: Mapping[str, bytes]) -> Operation[Presence]:
    """Nothing is missing, once all of these bytes, up to 40 small blobs by digest, are durable at the registry.

    Raises:
        InvalidRequest: `digest_mismatch`: one has other bytes than its digest says; then none is stored.
    """
    body = b"".join(
        bytes.fromhex(checked(check_sha256, sha256)) + len(content).to_bytes(8) + content
        for sha256, content in blobs.items()
    )
    media_type = (("content-type", BLOBS_MEDIA_TYPE),)
    return Operation("POST", path("blobs"), _presence, "blob", headers=media_type, body=body)


def begin_upload(sha256: str, size: int) -> Operation[Upload]:
    """How many of these bytes are at the registry already; parts go on behind them.

    Raises:
        TooLarge: the registry takes no blobs of that size.
    """
    return Operation("PUT", _of_upload(sha256), _progress(sha256, size=size), body=given(UploadRequest, size=size))


def put_part(sha256: str, part: Source, prefix_sha256: str) -> Operation[Upload]:
    """How many bytes are at the registry with this part; the last part makes them a blob.

    `prefix_sha256` is the digest of all bytes from the beginning of the file to the end of the part.

    Raises:
        UploadOutOfStep: the part does not begin where the one before ended.
        UploadNotFound: the upload was not begun, or what had come of it is lost.
        InvalidRequest: `digest_mismatch`: the part has other bytes than were announced.
    """
    return Operation(
        "PUT",
        path("uploads", checked(check_sha256, sha256), "parts", part.start),
        _progress(sha256, least=part.start + (part.length or 0)),
        "blob",
        headers=(("x-prefix-sha256", checked(check_sha256, prefix_sha256)),),
        upload=part,
    )


def find_upload(sha256: str) -> Operation[Upload]:
    """How far the caller's own upload of these bytes is.

    Raises:
        UploadNotFound: there is none.
    """
    return Operation("GET", _of_upload(sha256), _progress(sha256))


def abandon_upload(sha256: str) -> Operation[None]:
    """Nothing: the caller's own upload is forgotten, and what came of it removed.

    Raises:
        UploadNotFound: there is none.
    """
    return Operation("DELETE", _of_upload(sha256), nothing)


def verify_blob(sha256: str) -> Operation[Verification]:
    """Whether the registry, reading the bytes again, finds them right; wrong ones go into quarantine, as an event says.

    Raises:
        BlobNotFound: there is no such blob.
    """
    target = path("blobs", checked(check_sha256, sha256), "verify")
    return Operation("POST", target, _verification, "blob")


def get_file(name: str, version: int, file: str, sink: Sink) -> Operation[None]:
    """Nothing: the bytes of one file of a version go into the sink, unverified.

    Raises:
        FileNotFound: the version has no such file, or serves none any more.
        BlobDamaged: the registry has lost the bytes.
    """
    segments = checked(check_artifact_path, file).split("/")
    target = path("models", checked(check_model_name, name), "versions", version, "files", *segments)
    return Operation("GET", target, nothing, "blob", sink=sink)


def collect_garbage(
    *,
    dry_run: bool = False,
    grace_s: int | None = None,
    retention_s: int | None = None,
    trash_s: int | None = None,
) -> Operation[Collection]:
    """What was removed of bytes that no version names, or, as a dry run, what would be; times are in seconds.

    Bytes go when no version has named them for `grace_s` (a day), those of tombstoned versions `retention_s` (30 days)
    after the tombstone, and leave the trash for good after `trash_s` (7 days). Manifests and digests stay for ever.
    """
    body = given(CollectionRequest, dry_run=dry_run, grace_s=grace_s, retention_s=retention_s, trash_s=trash_s)
    return Operation("POST", path("collection"), _collection, "blob", body=body)


def _progress(sha256: str, *, size: int | None = None, least: int = 0) -> Callable[[Answer], Upload]:
    """Return a reader of the progress of an upload, which decides which bytes are sent next, and for how long."""

    def read(answer: Answer) -> Upload:
        found: Upload = about(_upload, sha256=sha256)(answer)
        if size is not None and found.size != size:
            raise wrong("size", found.size, f"{size} bytes were announced")
        if found.received > found.size or (found.received == found.size) != found.complete:
            raise wrong("received", found.received, f"of {found.size} bytes, complete: {found.complete}")
        if found.received < least:
            raise wrong("received", found.received, f"{least} bytes were sent")
        return found

    return read


def _of_upload(sha256: str) -> str:
    return path("uploads", checked(check_sha256, sha256))
