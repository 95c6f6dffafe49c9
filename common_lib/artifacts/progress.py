"""The type of the functions that a caller passes to follow the progress of a transfer."""

from collections.abc import Callable

ProgressListener = Callable[[str, int, int], None]
"""A function that is called often, from any thread, with a file's path, its number of processed bytes, and its size."""


def ignore_progress(path: str, done: int, total: int) -> None:
    """Do nothing. This is the default listener."""
