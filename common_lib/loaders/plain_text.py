"""Loader for plain text in UTF-8."""

from common_lib.loaders.budget import Budget, bound_for
from common_lib.rules.formats import BY_NAME


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Return why the bytes are not text in UTF-8, or None if they are.

    Raises:
        OverBudget: the text exceeds the memory bound.
    """
    # One character above U+FFFF makes all characters of a string 4 bytes wide.
    width = 1 if content.isascii() else 4
    Budget(bound_for(len(content), memory)).spend((2 + width) * len(content), "its text")
    return BY_NAME["text"].fault(content)


def load(content: bytes) -> str:
    """Decode the text without changing its line ends."""
    return content.decode("utf-8")
