"""Files of a version, and the blobs that hold their bytes."""

from typing import Annotated

from pydantic import Field

from common_lib.rules import names, transfers
from common_lib.types.base import Count, Digest, ModelName, Moment, RequestModel, Sha256, ShortText, Value

MediaType = Annotated[str, Field(pattern=names.MEDIA_TYPE, max_length=names.NAME_LENGTH)]


class FileEntry(RequestModel):
    """One file of a manifest: its path within the version, its size in bytes, its digest and media type."""

    path: Annotated[str, Field(max_length=names.PATH_LENGTH)]
    size: Count
    sha256: Sha256
    media_type: MediaType = "application/octet-stream"


class Manifest(Value):
    """The files of a version, sorted by path, and the digest over them."""

    digest: Digest
    files: list[FileEntry]


class Blob(Value):
    """Bytes stored under their digest; a blob in quarantine is damaged and not served."""

    sha256: Sha256
    size: Count
    created_by: ShortText
    created_at: Moment
    quarantined_at: Moment | None = None


class PresenceRequest(RequestModel):
    """The request to list missing blobs; with `model`, on behalf of a version of that model."""

    sha256: Annotated[list[Sha256], Field(max_length=transfers.MAX_ASKED)]
    model: ModelName | None = None


class Presence(Value):
    """The blobs that must still be sent; the registry retains the others for the caller until `retained_until`."""

    missing: list[Sha256]
    retained_until: Moment


class Verification(Value):
    """The result of hashing the stored bytes of a blob: `sound` if they match its digest."""

    blob: Blob
    sound: bool
