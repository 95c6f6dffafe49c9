"""Callbacks that report the progress of a transfer."""

from collections.abc import Callable

ProgressListener = Callable[[str, int, int], None]
"""Called often, and from any thread, with the path of a file, how many of its bytes are done, and its size."""


def ignore_progress(path: str, done: int, total: int) -> None:
    """Do nothing: the default listener."""
