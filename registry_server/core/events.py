"""Use case for events: let auditors and admins read the log."""

from collections.abc import Sequence

from common_lib.rules.names import LARGEST_COUNT
from registry_server.core.pages import MAX_BYTES
from registry_server.core.ports import Database
from registry_server.core.rights import Caller, Right
from registry_server.domain import errors
from registry_server.domain.events import Event
from registry_server.domain.pages import MAX_LIMIT

# Events have at most 16 KiB each.
_STEP = 250


async def list_after(database: Database, caller: Caller, sequence: int, limit: int) -> Sequence[Event]:
    """Return up to `limit` events after `sequence`, in order.

    If these events exceed 4 MiB, return fewer, but at least one.
    """
    caller.check_right(Right.READ_LOG)
    for field, value, low, high in (("limit", limit, 1, MAX_LIMIT), ("after", sequence, 0, LARGEST_COUNT)):
        if not low <= value <= high:
            raise errors.NumberOutOfRange(field, value, low, high)
    found: list[Event] = []
    size = 0
    while len(found) < limit:
        step = min(limit - len(found), _STEP)
        more = await database.read.events.list_after(found[-1].sequence if found else sequence, step)
        for event in more:
            size += len(event.body) + 1
            if found and size > MAX_BYTES:
                return found
            found.append(event)
        if len(more) < step:
            break
    return found
