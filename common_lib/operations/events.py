"""The operation that reads the event log, for auditors and admins."""

from common_lib.operations.answers import wrong
from common_lib.operations.base import Answer, Operation, json_reader, path, query
from common_lib.types.events import Event

_events = json_reader(list[Event])


def after(sequence: int = 0, *, limit: int = 100) -> Operation[list[Event]]:
    """List up to `limit` events after a sequence number, in order. The list is empty only at the end of the log.

    Raises:
        ProtocolError: the events in the answer are not in order, so that a reader could never reach the end.
    """

    def read(answer: Answer) -> list[Event]:
        found: list[Event] = _events(answer)
        before = sequence
        for event in found:
            if int(event.sequence) <= before:
                raise wrong("sequence", event.sequence, f"the event does not come after event {before}")
            before = int(event.sequence)
        return found

    return Operation("GET", path("events"), read, query=query(after=sequence, limit=limit))
