"""The event log, for auditors and admins."""

from common_lib.operations.answers import wrong
from common_lib.operations.base import Answer, Operation, json_reader, path, query
from common_lib.types.events import Event

_events = json_reader(list[Event])


def after(sequence: int = 0, *, limit: int = 100) -> Operation[list[Event]]:
    """List up to `limit` events after a sequence number, in order; fewer if they are large, none only at the end.

    Raises:
        ProtocolError: the answer leads back, so that a reader of the log would never come to its end.
    """

    def read(answer: Answer) -> list[Event]:
        found: list[Event] = _events(answer)
        before = sequence
        for event in found:
            if int(event.sequence) <= before:
                raise wrong("sequence", event.sequence, f"it does not come after {before}")
            before = int(event.sequence)
        return found

    return Operation("GET", path("events"), read, query=query(after=sequence, limit=limit))
