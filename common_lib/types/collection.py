"""Garbage collection; `common_lib.rules.collection` has its result."""

from typing import Annotated

from pydantic import Field

from common_lib.rules import collection
from common_lib.types.base import RequestModel

Seconds = Annotated[int, Field(ge=0, le=collection.LONGEST_S)]


class CollectionRequest(RequestModel):
    """The request to collect garbage; times are in seconds.

    The registry removes bytes that no version has named for `grace_s`, and those of tombstoned versions `retention_s`
    after the tombstone. Removed bytes stay in the trash for `trash_s`.
    """

    dry_run: bool = False
    grace_s: Seconds = collection.GRACE_S
    retention_s: Seconds = collection.RETENTION_S
    trash_s: Seconds = collection.TRASH_S
