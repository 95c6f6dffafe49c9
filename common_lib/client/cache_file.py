"""The resolve cache on disk: a new process starts with the answers that earlier processes of its principal received.

The file is replaced atomically. Its first line is an HMAC of the other lines, with a key made from the token. So a
process reads only a file that was written with its own token, and ignores a file that is damaged or forged.
"""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common_lib.artifacts.abandoned_files import sweep
from common_lib.artifacts.cache import Cache
from common_lib.best_effort import best_effort
from common_lib.errors import InvalidConfiguration
from common_lib.origin import file_name, seal_key
from common_lib.own_files import check_folder
from common_lib.sealed import read_sealed, write_sealed

_MAX_BYTES: Final = 256 * 1024 * 1024
_MAX_ENTRIES: Final = 10_000


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The body of an answer, and its age in seconds. The age is None if the answer has a timestamp in the future."""

    body: bytes
    age_s: float | None


class CacheFile:
    """A file with answers to resolves. All processes of the same principal on this machine share the file."""

    def __init__(self, path: Path, origin: str, token: str, wall_clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._key = seal_key(origin, token)
        self._wall_clock = wall_clock
        self._cache_root: Path | None = None

    @classmethod
    def default(cls, origin: str, token: str) -> "CacheFile | None":
        """Return the cache file of a principal in the default cache folder; None if this machine has no such folder."""
        with contextlib.suppress(InvalidConfiguration):
            root = Cache.default().root
            file = cls(root / "resolves" / file_name(seal_key(origin, token)), origin, token)
            file._cache_root = root
            return file
        return None

    def load(self) -> dict[str, StoredAnswer]:
        """Return the stored answers by path; empty if the file is missing, damaged, or belongs to another principal."""
        now = self._wall_clock()
        return {
            path: StoredAnswer(body.encode(), now - at if at <= now else None)
            for path, (at, body) in self._read().items()
            if body is not None
        }

    def save(self, answers: Mapping[str, StoredAnswer], negative_ages: Mapping[str, float]) -> None:
        """Merge answers into the file. For each path, keep the most recent entry, even if another process wrote it.

        `negative_ages` contains the paths that were refused or changed, and how many seconds ago. For these paths an
        entry without a body is stored, so that another process cannot restore its older answer.
        """
        now = self._wall_clock()
        ours: dict[str, tuple[float, str | None]] = {path: (now - age_s, None) for path, age_s in negative_ages.items()}
        ours |= {path: (now - (answer.age_s or 0.0), answer.body.decode()) for path, answer in answers.items()}
        entries = self._read()
        for path, (at, body) in ours.items():
            other_at, _ = entries.get(path, (at, None))
            if not at < other_at <= now:
                entries.pop(path, None)
                entries[path] = (at, body)
        with best_effort(self._cache_root or self.path):
            self._check_folders()
            text = json.dumps(dict(list(entries.items())[-_MAX_ENTRIES:])).encode()
            write_sealed(self.path, self._key, "", text)
            if self._cache_root is not None:
                sweep(self._cache_root)

    def _read(self) -> dict[str, tuple[float, str | None]]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            self._check_folders()
            text = read_sealed(self.path, self._key, "", most_bytes=_MAX_BYTES)
            return {path: (float(at), body) for path, (at, body) in json.loads(text).items()}
        return {}

    def _check_folders(self) -> None:
        """Raise `UnsafeFile` if other users can write to the default cache folder; skip a folder set by the caller."""
        if self._cache_root is None:
            return
        for folder in (self._cache_root, self.path.parent):
            with contextlib.suppress(FileNotFoundError):
                check_folder(folder)
