"""The log, for auditors and admins."""

from common_lib.operations.base import Operation, path, query, reads
from common_lib.values import Event

_events = reads(list[Event])


def after(sequence: int = 0, *, limit: int = 100) -> Operation[list[Event]]:
    """Up to `limit` events behind that sequence number, in order."""
    return Operation("GET", path("events"), _events, query=query(after=sequence, limit=limit))
