"""How far a transfer is: told to whoever wants to show it."""

from collections.abc import Callable

ProgressListener = Callable[[str, int, int], None]
"""Told the path of a file, how many of its bytes are done, and how many it has; from any thread, often."""


def ignore_progress(path: str, done: int, total: int) -> None:
    """Nobody is told."""
