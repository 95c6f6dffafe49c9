"""The files of a version, and the blobs that contain the bytes of these files."""

from typing import Annotated

from msgspec import Meta, Struct

from common_lib.rules import artifacts, names
from registry_server.domain.base import Count, Digest, ModelName, Request, Sha256, ShortText, Time

MediaType = Annotated[str, Meta(pattern=names.MEDIA_TYPE, max_length=names.NAME_LENGTH)]


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a manifest: its path within the version, its size in bytes, its digest and media type."""

    path: Annotated[str, Meta(max_length=names.PATH_LENGTH)]
    size: Count
    sha256: Sha256
    media_type: MediaType = "application/octet-stream"


class Manifest(Struct, frozen=True):
    """The list of the files of a version, sorted by path, and the digest of this list."""

    digest: Digest
    files: list[FileEntry]


class Blob(Struct, frozen=True):
    """Stored bytes, identified by their SHA-256. A blob in quarantine is damaged and is not served."""

    sha256: Sha256
    size: Count
    created_by: ShortText
    created_at: Time
    quarantined_at: Time | None = None


class PresenceRequest(Request, frozen=True):
    """The request to list missing blobs. `model` is the model whose next version will contain the blobs."""

    sha256: Annotated[list[Sha256], Meta(max_length=artifacts.MAX_DIGESTS_PER_REQUEST)]
    model: ModelName | None = None


class Verification(Struct, frozen=True):
    """The result of hashing the stored bytes of a blob; `sound` is true if they have the expected digest."""

    blob: Blob
    sound: bool
