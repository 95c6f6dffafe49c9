"""Collection of garbage: bytes that no version references."""

from typing import Annotated

from msgspec import Meta, Struct

from common_lib.rules import transfers
from registry_server.domain.base import Count, Request

Seconds = Annotated[int, Meta(ge=0, le=transfers.LONGEST_S)]


class CollectionRequest(Request, frozen=True):
    """The request to collect garbage; times are in seconds.

    The registry removes bytes that no version has named for `grace_s`, and those of tombstoned versions `retention_s`
    after the tombstone. Removed bytes stay in the trash for `trash_s`.
    """

    dry_run: bool = False
    grace_s: Seconds = transfers.GRACE_S
    retention_s: Seconds = transfers.RETENTION_S
    trash_s: Seconds = transfers.TRASH_S


class Collection(Struct, frozen=True):
    """The result of a collection, or of a dry run: counts, and bytes freed."""

    dry_run: bool
    released_versions: Count = 0
    unreferenced_blobs: Count = 0
    removed_blobs: Count = 0
    removed_bytes: Count = 0
    orphan_files: Count = 0
    expired_uploads: Count = 0
    purged_files: Count = 0
    purged_bytes: Count = 0
