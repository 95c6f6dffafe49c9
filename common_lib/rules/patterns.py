"""Matching of paths with patterns that contain `*`, in linear time.

A regular expression, or `str.find` on each path, can take quadratic time or more. Therefore all paths are joined into
one text, and the search for each piece of a pattern goes through this text once.
"""

from collections.abc import Sequence


class Paths:
    """The paths of a version, prepared for matching with many patterns."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._text = "\n".join(paths)
        self._places: list[tuple[str, int]] = []
        begin = 0
        for path in paths:
            self._places.append((path, begin))
            begin += len(path) + 1

    def find_matching(self, pattern: str) -> list[str]:
        """Return the paths that match a pattern, in their order; `*` matches any characters, also `/`.

        >>> Paths(["a/model.json", "b/model.bin"]).find_matching("*/model.*n")
        ['a/model.json', 'b/model.bin']
        """
        first, *pieces = pattern.split("*")
        if not pieces:
            return [path for path, _ in self._places if path == first]
        last = pieces.pop()
        between = [_Seeker(self._text, piece) for piece in pieces if piece]
        least = len(first) + len(last)
        return [
            path
            for path, begin in self._places
            if len(path) >= least
            and path.startswith(first)
            and path.endswith(last)
            and _stand_in_order(between, begin + len(first), begin + len(path) - len(last))
        ]


class _Seeker:
    """The search for one piece of a pattern, which goes through the text only once and never back."""

    def __init__(self, text: str, piece: str) -> None:
        self._text = text
        self._piece = piece
        self._at = -1

    def end_after(self, start: int) -> int:
        """Return the end of the first occurrence at or after `start`; without one, a position beyond the text."""
        if self._at < start:
            found = self._text.find(self._piece, start)
            self._at = found if found >= 0 else len(self._text)
        return self._at + len(self._piece)


def _stand_in_order(between: Sequence[_Seeker], start: int, stop: int) -> bool:
    """Return whether all pieces occur one after the other between `start` and `stop`."""
    for seeker in between:
        start = seeker.end_after(start)
        if start > stop:
            return False
    return True
