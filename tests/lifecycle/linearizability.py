"""A search for an order in which overlapping operations could have happened one after the other.

The search of Wing and Gong: of the operations that nothing unplaced ended before, one is placed first, if the state
allows its answer; then the rest. Where it fails, it goes back; a state that was reached before with the same operations
placed is not tried again.

Sources: J. M. Wing, C. Gong, Testing and Verifying Concurrent Objects, JPDC 17 (1993); G. Lowe, Testing for
Linearizability, CCPE 29 (2017).
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple


class Done(NamedTuple):
    """One operation: begin and end on one clock, the request and the response.

    An operation without a response ends at infinity: it may have happened at any time since it began, so also after all
    that anybody saw.
    """

    began: float
    ended: float
    request: Hashable
    answer: Hashable


# The response of a sequential object in a state, and the next state.
Object = Callable[[Any, Any], tuple[Hashable, Hashable]]


class _Placed(NamedTuple):
    """A set of placed operations: all before `first` in the order of their begin, and some after it."""

    first: int
    behind: frozenset[int]

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and (number < self.first or number in self.behind)

    def with_(self, number: int) -> "_Placed":
        first, behind = self.first, self.behind | {number}
        while first in behind:
            first += 1
        return _Placed(first, frozenset(place for place in behind if place >= first))


class _Way(NamedTuple):
    """The operation that is placed next, and the resulting state."""

    number: int
    state: Hashable
    placed: _Placed


def order(history: Iterable[Done], initial: Hashable, thing: Object) -> list[Done] | None:
    """Return the operations in a possible sequential order, or None."""
    operations = sorted(history, key=lambda operation: (operation.began, operation.ended))
    start = _Placed(0, frozenset())
    seen: set[tuple[_Placed, Hashable]] = {(start, initial)}
    numbers: list[int] = []
    ways = [_ways(operations, start, initial, thing)]
    while len(numbers) < len(operations):
        way = next(ways[-1], None)
        if way is None:
            ways.pop()
            if not ways:
                return None
            numbers.pop()
        elif (way.placed, way.state) not in seen:
            seen.add((way.placed, way.state))
            numbers.append(way.number)
            ways.append(_ways(operations, way.placed, way.state, thing))
    return [operations[number] for number in numbers]


def _ways(operations: Sequence[Done], placed: _Placed, state: Hashable, thing: Object) -> Iterator[_Way]:
    ways = []
    for number in _next(operations, placed):
        answer, following = thing(state, operations[number].request)
        if answer == operations[number].answer or operations[number].ended == math.inf:
            ways.append(_Way(number, following, placed.with_(number)))
    # An operation that matches its response and changes nothing can always be placed now.
    idle = [way for way in ways if way.state == state and operations[way.number].ended < math.inf]
    return iter(idle[:1] or ways)


def _next(operations: Sequence[Done], placed: _Placed) -> list[int]:
    """Yield the unplaced operations that began before any other unplaced one had ended."""
    found, first_end = [], math.inf
    for number in range(placed.first, len(operations)):
        if operations[number].began > first_end:
            break
        if number not in placed:
            found.append(number)
            first_end = min(first_end, operations[number].ended)
    return found
