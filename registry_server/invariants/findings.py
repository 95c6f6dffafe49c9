"""The result of one check."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

# So many things are named one by one; of the others only their number is given.
NAMED = 5
Progress = Callable[[str], None]


class Finding(NamedTuple):
    """The subject of a check, its verdict (None: could not be checked), and a sentence about what was found."""

    what: str
    well: bool | None
    found: str


class InvariantBroken(RuntimeError):
    """The registry does not start; the message is the sentence that `doctor` shows, with the command that mends it."""


def some(things: Sequence[str], count: int | None = None) -> str:
    """Name the first things, and count the others.

    >>> some(["a", "b", "c", "d", "e", "f"])
    'a; b; c; d; e and 1 more'
    """
    more = (len(things) if count is None else count) - len(things[:NAMED])
    return "; ".join(things[:NAMED]) + (f" and {more:,} more" if more else "")
