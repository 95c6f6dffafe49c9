"""Text."""

from common_lib.loaders.budget import Budget, bound_for
from common_lib.rules.formats import BY_NAME


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Say why the bytes cannot be text.

    Raises:
        OverBudget: the text would take more memory than it may.
    """
    # One character beyond the first plane makes all of a text four times as wide.
    width = 1 if content.isascii() else 4
    Budget(bound_for(len(content), memory)).spend((2 + width) * len(content), "its text")
    return BY_NAME["text"].fault(content)


def load(content: bytes) -> str:
    """Return the text, its line ends as they are."""
    return content.decode("utf-8")
