"""Findings: the results of checks, for `doctor` and for the start of the server."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

# A sentence lists this number of faults; all others are only counted.
LISTED = 5
Progress = Callable[[str], None]


class Finding(NamedTuple):
    """The result of one check: its subject, its verdict (None: it could not be checked), and a sentence."""

    what: str
    well: bool | None
    found: str


class InvariantBroken(RuntimeError):
    """The registry cannot start because of a fault. The message is the same as that of `doctor`, with a remedy."""


def list_first(items: Sequence[str], count: int | None = None) -> str:
    """Return a text that lists the first items and counts the others.

    >>> list_first(["a", "b", "c", "d", "e", "f"])
    'a; b; c; d; e and 1 more'
    """
    more = (len(items) if count is None else count) - len(items[:LISTED])
    return "; ".join(items[:LISTED]) + (f" and {more:,} more" if more else "")
