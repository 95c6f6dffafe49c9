"""Single-flight: calls that want the same answer at the same time share one request.

Source of the term: the package `singleflight` of Go (golang.org/x/sync).
"""

import contextlib
import threading
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from common_lib.errors import RegistryError
from common_lib.operations.base import Answer

# An answer, and the error in it; None if the answer is a success.
CheckedAnswer = tuple[Answer, RegistryError | None]
# `RegistryError` if there was no answer; None if the flight ended without a result, so that another call must fetch.
FlightResult = CheckedAnswer | RegistryError | None


@dataclass(frozen=True, slots=True)
class Flight:
    """A request in progress that several calls may share.

    `began_at` is its start on the client's clock. `changes` is the number of changes that the client had made by then.
    """

    began_at: float
    changes: int
    result: "Future[FlightResult]" = field(default_factory=Future)


class SingleFlight:
    """The requests that one client has in progress (its flights), by path; calls for the same path share a flight."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes = 0
        self._flights: dict[str, Flight] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._flights

    def join(self, path: str, now: float) -> tuple[Flight, bool]:
        """Return the flight for a path, and True if the flight is new, so that the caller must fetch the answer."""
        with self._lock:
            flight = self._flights.get(path)
            if flight is not None:
                return flight, False
            flight = self._flights[path] = Flight(now, self._changes)
            return flight, True

    def detached(self, now: float) -> Flight:
        """Return a new flight that no other call joins."""
        return Flight(now, self._changes)

    def end(self, path: str, flight: Flight, result: FlightResult) -> None:
        """Pass a result to the calls that wait for a flight. If the flight has already ended, do nothing."""
        with self._lock:
            if self._flights.get(path) is flight:
                del self._flights[path]
        with contextlib.suppress(InvalidStateError):
            # The flight was abandoned before, because the event loop of its caller ended.
            flight.result.set_result(result)

    def invalidate(self, prefix: str) -> None:
        """Let later calls start new flights for paths with this prefix, because the client has changed data there."""
        with self._lock:
            self._changes += 1
            for path in [path for path in self._flights if path.startswith(prefix)]:
                del self._flights[path]

    def is_current(self, flight: Flight) -> bool:
        """Return True if the client has made no changes since the flight began."""
        return flight.changes == self._changes
