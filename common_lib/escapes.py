"""The one place where texts of others become safe to print.

A reason, a name or a path may hold what moves the cursor, begins a line of its own, turns the line around, links to
somewhere else or cannot be seen. Each such character is printed as its number, as Python writes it.
"""

import json
import re
from typing import Final

# Letters and marks by their category, and yet nobody sees them.
_UNSEEN: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")


def escape(text: str) -> str:
    r"""Return a text as one line, with each character that could mislead a reader replaced by its number.

    >>> escape("a\nb\u202ec\x1b[1m")
    'a\\nb\\u202ec\\x1b[1m'
    """
    return "".join(c if _is_seen(c) else ascii(c)[1:-1] for c in text)


def escape_json(document: str) -> str:
    r"""Return the same JSON document, with such characters, which stand only within its texts, written as `\u202e`."""
    return "".join(c if c == "\n" or _is_seen(c) else _as_utf16(c) for c in document)


def _is_seen(character: str) -> bool:
    # Printable in Python's sense: no control, format or private character, no separator but the space.
    return character.isprintable() and character not in _UNSEEN and not _VARIATION.match(character)


_VARIATION: Final = re.compile("[\U000e0100-\U000e01ef]")


def _as_utf16(character: str) -> str:
    # JSON has no numbers beyond 16 bits: what is larger is written as a pair of surrogates.
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"
