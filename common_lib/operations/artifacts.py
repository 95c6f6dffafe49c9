"""Bytes: blobs on their way in, files of a version on their way out."""

from pathlib import Path

from common_lib.operations.base import Operation, Sink, checked, nothing, path, reads
from common_lib.rules.names import check_artifact_path, check_model_name, check_sha256
from common_lib.values import Blob

_blob = reads(Blob)


def find_blob(sha256: str) -> Operation[Blob]:
    """The blob of that digest.

    Raises:
        BlobNotFound: its bytes are not at the registry.
    """
    return Operation("GET", path("blobs", checked(check_sha256, sha256)), _blob)


def put_blob(sha256: str, file: Path) -> Operation[Blob]:
    """The blob, once the bytes of a local file are durable at the registry.

    Raises:
        InvalidRequest: `digest_mismatch`: the file has other bytes than were announced.
    """
    return Operation("PUT", path("blobs", checked(check_sha256, sha256)), _blob, "blob", upload=file)


def get_file(name: str, version: int, file: str, sink: Sink) -> Operation[None]:
    """Nothing: the bytes of one file of a version go into the sink, unverified."""
    segments = checked(check_artifact_path, file).split("/")
    target = path("models", checked(check_model_name, name), "versions", version, "files", *segments)
    return Operation("GET", target, nothing, "blob", sink=sink)
