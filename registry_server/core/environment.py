"""The environment of the use cases: database, blob store, clock, source of ids and waiting of one running server."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from registry_server.core.ports import BlobStore, Database


class Environment(msgspec.Struct, frozen=True):
    """The database, the blob store, the clock and the other means of one running server.

    `in_flight` holds the claims of this process: (principal, idempotency key) of each running write, and each upload to
    which a part is being appended.
    """

    database: Database
    blobs: BlobStore
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    in_flight: set[tuple[str, str]]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
