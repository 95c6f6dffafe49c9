"""The digests of files that a caller trusts to run code."""

import os
import re
from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TypeAlias

from common_lib.errors import LoadRefused
from common_lib.rules.names import SHA256

Trust: TypeAlias = AbstractSet[str] | Sequence[str] | os.PathLike[str] | Callable[[str], bool]


def is_trusted(trust: Trust | None, digests: Collection[str]) -> bool:
    """Return whether the caller trusts one of these digests, each `sha256:` followed by 64 hexadecimal digits.

    `trust` is a set of digests, or the path of a file of digests that is read again at each use, or a function that is
    called with each digest. The function trusts a digest by returning `True` itself: another true value, such as a
    coroutine or a match, does not count.

    Raises:
        LoadRefused: `trust` has another type, or one of its entries is not a digest.
    """
    if trust is None:
        return False
    if callable(trust):
        return any(trust(digest) is True for digest in digests)
    if isinstance(trust, os.PathLike):
        listed = _read(Path(trust))
    elif isinstance(trust, AbstractSet | list | tuple):
        listed = {_digest(entry, "trust") for entry in trust}
    else:
        raise LoadRefused(
            f"trust {trust!r:.100}",
            why="is not a set of digests, the path of a file of digests, or a function",
            remedy="pass a set of digests, a pathlib.Path, or a function of a digest",
        )
    return not listed.isdisjoint(digests)


def _read(path: Path) -> set[str]:
    """Read the digests in a file, one a line.

    A comment begins with `#`. Words after a digest are ignored, so the output of sha256sum can be used.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LoadRefused(
            f"the file of trusted digests {str(path)!r}",
            why=f"cannot be read: {error}",
            remedy="make it readable, or pass a set of digests",
        ) from error
    words = [line.partition("#")[0].split() for line in lines]
    return {_digest(found[0], str(path)) for found in words if found}


def _digest(entry: object, where: str) -> str:
    digits = entry.removeprefix("sha256:") if isinstance(entry, str) else ""
    if not re.match(SHA256, digits):
        raise LoadRefused(
            f"{where}: {entry!r:.100}", why="is not a digest", remedy="give 64 lower-case hexadecimal digits"
        )
    return f"sha256:{digits}"
