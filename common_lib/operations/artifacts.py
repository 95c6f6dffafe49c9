"""Operations to upload and check blobs, and to download the files of versions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from common_lib.operations.answers import about, wrong
from common_lib.operations.base import (
    Answer,
    Operation,
    Sink,
    Source,
    ignore_body,
    json_reader,
    path,
    request_body,
    validate,
)
from common_lib.rules.artifacts import BLOBS_MEDIA_TYPE, Presence
from common_lib.rules.names import check_artifact_path, check_model_name, check_sha256
from common_lib.types.artifacts import Blob, PresenceRequest, Verification

_blob = json_reader(Blob)
_presence = json_reader(Presence)
_verification = json_reader(Verification)


def get_blob(sha256: str) -> Operation[Blob]:
    """Get the size, the creator and the state of a blob.

    Raises:
        BlobNotFound: the registry does not have the blob.
    """
    return Operation("GET", path("blobs", validate(check_sha256, sha256)), about(_blob, sha256=sha256))


def check_presence(sha256: Sequence[str], model: str | None = None) -> Operation[Presence]:
    """List which of up to 1,000 blobs the registry does not have.

    The registry retains the others for a day; create the version within this time. With `model`, the registry also
    checks that the caller may register a version of that model.

    Raises:
        ModelNotFound: the model does not exist, or the caller may not read it.
        Tombstoned: the model was taken out of use.
        Forbidden: the caller lacks the right to register.
    """
    requested = list(sha256)
    name = None if model is None else validate(check_model_name, model)

    def read(answer: Answer) -> Presence:
        found: Presence = _presence(answer)
        if foreign := set(found.missing) - set(requested):
            raise wrong("missing", min(foreign), "this digest was not in the request")
        return found

    body = request_body(PresenceRequest, sha256=requested, model=name)
    return Operation("POST", path("presence"), read, body=body)


def put_blob(sha256: str, file: Path | Source) -> Operation[Blob]:
    """Upload the bytes of a local file; the registry answers after it has stored them durably.

    Raises:
        InvalidRequest: `digest_mismatch`: the bytes of the file do not have this digest.
    """
    source = file if isinstance(file, Source) else Source(Path(file))
    target = path("blobs", validate(check_sha256, sha256))
    return Operation("PUT", target, about(_blob, sha256=sha256), "blob", upload=source)


def put_blobs(blobs: Mapping[str, bytes]) -> Operation[Presence]:
    """Upload up to 40 small blobs, given with their digests; the registry answers after it has stored them durably.

    Raises:
        InvalidRequest: `digest_mismatch`: the bytes of one blob do not have its digest; no blob was stored.
    """
    body = b"".join(
        bytes.fromhex(validate(check_sha256, sha256)) + len(content).to_bytes(8) + content
        for sha256, content in blobs.items()
    )
    media_type = (("content-type", BLOBS_MEDIA_TYPE),)
    return Operation("POST", path("blobs"), _presence, "blob", headers=media_type, body=body)


def verify_blob(sha256: str) -> Operation[Verification]:
    """Request that the registry hashes the stored bytes of a blob; if they are damaged, it quarantines the blob.

    Raises:
        BlobNotFound: the registry does not have the blob.
    """
    target = path("blobs", validate(check_sha256, sha256), "verify")
    return Operation("POST", target, _verification, "blob")


def get_file(name: str, version: int, file: str, sink: Sink) -> Operation[None]:
    """Download one file of a version into a sink; the bytes are not verified.

    Raises:
        FileNotFound: the version has no such file, or it is tombstoned.
        BlobDamaged: the registry has lost the bytes.
    """
    segments = validate(check_artifact_path, file).split("/")
    target = path("models", validate(check_model_name, name), "versions", version, "files", *segments)
    return Operation("GET", target, ignore_body, "blob", sink=sink)
