"""The request to run a garbage collection; `common_lib.rules.collection` defines the result."""

from typing import Annotated

from pydantic import Field

from common_lib.rules import collection
from common_lib.types.base import RequestModel

Seconds = Annotated[int, Field(ge=0, le=collection.LONGEST_S)]


class CollectionRequest(RequestModel):
    """The request to run a garbage collection; all times are in seconds.

    The registry moves bytes to the trash if no version has used them for `grace_s` seconds. It moves the bytes of a
    tombstoned version to the trash `retention_s` seconds after the tombstone. It deletes them from the trash after
    `trash_s` seconds.
    """

    dry_run: bool = False
    grace_s: Seconds = collection.GRACE_S
    retention_s: Seconds = collection.RETENTION_S
    trash_s: Seconds = collection.TRASH_S
