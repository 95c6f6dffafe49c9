"""What the registry says of bytes on their way, as frozen pydantic values."""

from typing import Annotated

from pydantic import Field

from common_lib.rules import transfers
from common_lib.values import Count, Given, ModelName, Moment, Sha256, ShortText, Value

Seconds = Annotated[int, Field(ge=0, le=transfers.LONGEST_S)]


class Blob(Value):
    """Bytes stored under their digest; in quarantine since they were found to be others, and served no more."""

    sha256: Sha256
    size: Count
    created_by: ShortText
    created_at: Moment
    quarantined_at: Moment | None = None


class UploadRequest(Given):
    """The announcement of bytes that will come in parts."""

    size: Count


class Upload(Value):
    """Bytes on their way in: how many of them are at the registry; all of them, if the blob is."""

    sha256: Sha256
    size: Count
    received: Count
    complete: bool
    expires_at: Moment


class PresenceRequest(Given):
    """The question which of these bytes are at the registry; with `model`, on behalf of a version of that model."""

    sha256: Annotated[list[Sha256], Field(max_length=transfers.MAX_ASKED)]
    model: ModelName | None = None


class Presence(Value):
    """Which bytes must still be sent; the registry retains the others for the caller until then."""

    missing: list[Sha256]
    retained_until: Moment


class Verification(Value):
    """Whether the bytes of a blob are what its digest says."""

    blob: Blob
    sound: bool


class CollectionRequest(Given):
    """The order to collect garbage; times are in seconds.

    Bytes are removed that no version has named for `grace_s`, those of tombstoned versions `retention_s` after the
    tombstone; what was removed stays in the trash for `trash_s`.
    """

    dry_run: bool = False
    grace_s: Seconds = transfers.GRACE_S
    retention_s: Seconds = transfers.RETENTION_S
    trash_s: Seconds = transfers.TRASH_S


class Collection(Value):
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
