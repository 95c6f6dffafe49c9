"""Check whether the caller trusts a file that can run code, such as a pickle."""

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

    `trust` is a set of digests, the path of a file with digests, or a function. The file is read again on every call.
    The function is called with each digest and must return exactly `True`; other truthy values, such as a coroutine or
    a regex match, do not count.

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
            why="it is not a set of digests, the path of a file with digests, or a function",
            remedy="pass a set of digests, a pathlib.Path, or a function that gets a digest and returns True or False",
        )
    return not listed.isdisjoint(digests)


def _read(path: Path) -> set[str]:
    """Return the digests in a file that has one digest on each line.

    Comments begin with `#`. Text after a digest is ignored, so a file that sha256sum wrote can be used.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LoadRefused(
            f"the file of trusted digests {str(path)!r}",
            why=f"the file cannot be read: {error}",
            remedy="make the file readable, or pass a set of digests",
        ) from error
    words = [line.partition("#")[0].split() for line in lines]
    return {_digest(found[0], str(path)) for found in words if found}


def _digest(entry: object, where: str) -> str:
    digits = entry.removeprefix("sha256:") if isinstance(entry, str) else ""
    if not re.match(SHA256, digits):
        raise LoadRefused(
            f"{where}: {entry!r:.100}",
            why="it is not a digest",
            remedy="write a digest as 64 lower-case hexadecimal digits",
        )
    return f"sha256:{digits}"
