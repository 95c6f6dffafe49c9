"""The log, for auditors and admins."""

from common_lib.operations.base import Operation, path, query, reads
from common_lib.values import Event

_events = reads(list[Event])


def after(sequence: int = 0, *, limit: int = 100) -> Operation[list[Event]]:
    """List up to `limit` events behind a sequence number, in order; fewer if they are large, none only at the end."""
    return Operation("GET", path("events"), _events, query=query(after=sequence, limit=limit))
