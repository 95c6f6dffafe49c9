"""The request to run a garbage collection, which removes bytes that no version uses."""

from typing import Annotated

from msgspec import Meta

from common_lib.rules import collection
from registry_server.domain.base import Request

Seconds = Annotated[int, Meta(ge=0, le=collection.LONGEST_S)]


class CollectionRequest(Request, frozen=True):
    """The request to run a garbage collection; all times are in seconds.

    The registry moves bytes to the trash if no version has used them for `grace_s` seconds. It moves the bytes of a
    tombstoned version to the trash `retention_s` seconds after the tombstone. It deletes them from the trash after
    `trash_s` seconds.
    """

    dry_run: bool = False
    grace_s: Seconds = collection.GRACE_S
    retention_s: Seconds = collection.RETENTION_S
    trash_s: Seconds = collection.TRASH_S
