"""Files of a version and the blobs that hold their bytes."""

from typing import Annotated

from msgspec import Meta, Struct

from common_lib.rules import names
from registry_server.domain.base import Count, Sha256, Time

MediaType = Annotated[str, Meta(pattern=names.MEDIA_TYPE, max_length=names.NAME_LENGTH)]


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a manifest: its path within the version, its size in bytes, its digest and media type."""

    path: Annotated[str, Meta(max_length=names.PATH_LENGTH)]
    size: Count
    sha256: Sha256
    media_type: MediaType = "application/octet-stream"


class Manifest(Struct, frozen=True):
    """The files of a version, sorted by path, and the digest over them."""

    digest: str
    files: list[FileEntry]


class Blob(Struct, frozen=True):
    """Bytes stored under their digest."""

    sha256: Sha256
    size: Count
    created_by: str
    created_at: Time
