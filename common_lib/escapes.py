"""Escape texts that come from other people before they are printed.

A reason, a name or a path may contain characters that move the cursor, start a new line, reverse the direction of the
text, make a link, or are invisible. Each such character is replaced by its Python escape sequence.
"""

import json
import re
from typing import Final

# Their Unicode category is letter or mark, but they are invisible.
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")


def escape(text: str) -> str:
    r"""Return a text as one line. Each character that could mislead a reader is replaced by its escape sequence.

    >>> escape("a\nb\u202ec\x1b[1m")
    'a\\nb\\u202ec\\x1b[1m'
    """
    return "".join(c if _is_visible(c) else ascii(c)[1:-1] for c in text)


def escape_json(document: str) -> str:
    r"""Return the same JSON document with such characters, which occur only within strings, written as `\u202e`."""
    return "".join(c if c == "\n" or _is_visible(c) else _as_utf16(c) for c in document)


def _is_visible(character: str) -> bool:
    # Python's `isprintable` excludes control, format and private characters, and separators other than the space.
    return character.isprintable() and character not in _INVISIBLE and not _VARIATION.match(character)


_VARIATION: Final = re.compile("[\U000e0100-\U000e01ef]")


def _as_utf16(character: str) -> str:
    # JSON escapes have 16 bits, so a larger character is written as a pair of surrogates.
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"
