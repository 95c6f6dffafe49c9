"""Files of a version and the blobs that hold their bytes."""

from typing import Annotated

from msgspec import Meta, Struct

from common_lib.rules import names, transfers
from registry_server.domain.base import Count, Digest, ModelName, Request, Sha256, ShortText, Time

MediaType = Annotated[str, Meta(pattern=names.MEDIA_TYPE, max_length=names.NAME_LENGTH)]

Seconds = Annotated[int, Meta(ge=0, le=transfers.LONGEST_S)]


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a manifest: its path within the version, its size in bytes, its digest and media type."""

    path: Annotated[str, Meta(max_length=names.PATH_LENGTH)]
    size: Count
    sha256: Sha256
    media_type: MediaType = "application/octet-stream"


class Manifest(Struct, frozen=True):
    """The files of a version, sorted by path, and the digest over them."""

    digest: Digest
    files: list[FileEntry]


class Blob(Struct, frozen=True):
    """Bytes stored under their digest; in quarantine since they were found to be others, and served no more."""

    sha256: Sha256
    size: Count
    created_by: ShortText
    created_at: Time
    quarantined_at: Time | None = None


class UploadRequest(Request, frozen=True):
    """The announcement of bytes that will come in parts."""

    size: Count


class Progress(Struct, frozen=True):
    """How far the upload of a principal is, as it is kept; `prefix_sha256` is the digest of what has come."""

    sha256: Sha256
    principal: str
    size: Count
    received: Count
    prefix_sha256: str
    expires_at: Time


class Upload(Struct, frozen=True):
    """Bytes on their way in: how many of them are here; all of them, if the blob is."""

    sha256: Sha256
    size: Count
    received: Count
    complete: bool
    expires_at: Time


class PresenceRequest(Request, frozen=True):
    """The question which of these bytes are here; with `model`, on behalf of a version of that model."""

    sha256: Annotated[list[Sha256], Meta(max_length=transfers.MAX_ASKED)]
    model: ModelName | None = None


class Presence(Struct, frozen=True):
    """Which bytes must still be sent; the registry retains the others for the caller until then."""

    missing: list[Sha256]
    retained_until: Time


class Verification(Struct, frozen=True):
    """Whether the bytes of a blob are what its digest says."""

    blob: Blob
    sound: bool


class CollectionRequest(Request, frozen=True):
    """The order to collect garbage; times are in seconds.

    Bytes are removed that no version has named for `grace_s`, those of tombstoned versions `retention_s` after the
    tombstone; what was removed stays in the trash for `trash_s`.
    """

    dry_run: bool = False
    grace_s: Seconds = transfers.GRACE_S
    retention_s: Seconds = transfers.RETENTION_S
    trash_s: Seconds = transfers.TRASH_S


class Collection(Struct, frozen=True):
    """What a collection did, or would do: counts, and bytes freed."""

    dry_run: bool
    released_versions: Count = 0
    unreferenced_blobs: Count = 0
    removed_blobs: Count = 0
    removed_bytes: Count = 0
    orphan_files: Count = 0
    expired_uploads: Count = 0
    purged_files: Count = 0
    purged_bytes: Count = 0
