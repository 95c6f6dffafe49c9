"""A file through which the next process knows what this one was told: whole or not at all, and of one principal only.

The first line authenticates the rest by the token, so that nobody reads what another principal may see, and nothing is
believed that was written by who has no token, or that a disk has changed since.
"""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common_lib.artifacts.cache import Cache
from common_lib.artifacts.sweep import sweep
from common_lib.bookkeeping import optional
from common_lib.errors import InvalidConfiguration
from common_lib.origin import file_name, seal_key
from common_lib.own_files import check_folder
from common_lib.sealed import read_sealed, write_sealed

_LARGEST: Final = 256 * 1024 * 1024
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, and how old it is; None if the clock says that it comes from the future."""

    body: bytes
    age_s: float | None


class SnapshotFile:
    """The answers that the processes of one principal on this machine were told last."""

    def __init__(self, place: Path, origin: str, token: str, wall: Callable[[], float] = time.time) -> None:
        self.place = place
        self._key = seal_key(origin, token)
        self._wall = wall
        self._cache: Path | None = None

    @classmethod
    def default(cls, origin: str, token: str) -> "SnapshotFile | None":
        """The one in the cache folder of this machine, named by a digest; None if there can be no such folder."""
        with contextlib.suppress(InvalidConfiguration):
            root = Cache.default().root
            found = cls(root / "resolves" / file_name(seal_key(origin, token)), origin, token)
            found._cache = root
            return found
        return None

    def load(self) -> dict[str, Kept]:
        """What the file says by path; nothing if there is none, if it is damaged, or of another principal."""
        now = self._wall()
        return {
            path: Kept(body.encode(), now - at if at <= now else None)
            for path, (at, body) in self._read().items()
            if body is not None
        }

    def save(self, known: Mapping[str, Kept], gone: Mapping[str, float]) -> None:
        """Write what is known now, what is gone since so many seconds, and what another process has heard after that.

        What is gone is written too: a process that has not heard of it must not bring it back.
        """
        now = self._wall()
        ours: dict[str, tuple[float, str | None]] = {path: (now - age_s, None) for path, age_s in gone.items()}
        ours |= {path: (now - (kept.age_s or 0.0), kept.body.decode()) for path, kept in known.items()}
        whole = self._read()
        for path, (at, body) in ours.items():
            theirs, _ = whole.get(path, (at, None))
            if not at < theirs <= now:
                whole.pop(path, None)
                whole[path] = (at, body)
        with optional(self._cache or self.place):
            self._check_folders()
            text = json.dumps(dict(list(whole.items())[-_MOST:])).encode()
            write_sealed(self.place, self._key, "", text)
            if self._cache is not None:
                sweep(self._cache)

    def _read(self) -> dict[str, tuple[float, str | None]]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            self._check_folders()
            text = read_sealed(self.place, self._key, "", most_bytes=_LARGEST)
            return {path: (float(at), body) for path, (at, body) in json.loads(text).items()}
        return {}

    def _check_folders(self) -> None:
        """Refuse a cache that others can write; a file that the caller placed elsewhere is checked by itself."""
        if self._cache is None:
            return
        for folder in (self._cache, self.place.parent):
            with contextlib.suppress(FileNotFoundError):
                check_folder(folder)
