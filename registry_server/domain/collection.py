"""Collection of garbage: bytes that no version references."""

from typing import Annotated

from msgspec import Meta

from common_lib.rules import collection
from registry_server.domain.base import Request

Seconds = Annotated[int, Meta(ge=0, le=collection.LONGEST_S)]


class CollectionRequest(Request, frozen=True):
    """The request to collect garbage; times are in seconds.

    The registry removes bytes that no version has named for `grace_s`, and those of tombstoned versions `retention_s`
    after the tombstone. Removed bytes stay in the trash for `trash_s`.
    """

    dry_run: bool = False
    grace_s: Seconds = collection.GRACE_S
    retention_s: Seconds = collection.RETENTION_S
    trash_s: Seconds = collection.TRASH_S
