"""The result of one check."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

# A sentence lists this many faults; of the others it gives only the number.
LISTED = 5
Progress = Callable[[str], None]


class Finding(NamedTuple):
    """The subject of a check, its verdict (None: could not be checked), and a sentence about what was found."""

    what: str
    well: bool | None
    found: str


class InvariantBroken(RuntimeError):
    """A fault that keeps the registry from starting; the message is the sentence of `doctor`, with a remedy."""


def list_first(items: Sequence[str], count: int | None = None) -> str:
    """List the first items, and count the others.

    >>> list_first(["a", "b", "c", "d", "e", "f"])
    'a; b; c; d; e and 1 more'
    """
    more = (len(items) if count is None else count) - len(items[:LISTED])
    return "; ".join(items[:LISTED]) + (f" and {more:,} more" if more else "")
