"""Text."""

from common_lib.rules.formats import BY_NAME

fault = BY_NAME["text"].fault


def load(content: bytes) -> str:
    """The text, its line ends as they are."""
    return content.decode("utf-8")
