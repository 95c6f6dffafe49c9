"""The resolve cache on disk: a new process starts with the answers that earlier processes of one principal received.

The file is written whole or not at all. Its first line is an HMAC of the rest, made with the token: a process reads
only what a holder of the same token wrote, and ignores a file that was damaged or forged.
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
    """The body of an answer and its age in seconds; the age is None if its timestamp lies in the future."""

    body: bytes
    age_s: float | None


class CacheFile:
    """The file that the processes of one principal on this machine share."""

    def __init__(self, path: Path, origin: str, token: str, wall_clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._key = seal_key(origin, token)
        self._wall_clock = wall_clock
        self._cache_root: Path | None = None

    @classmethod
    def default(cls, origin: str, token: str) -> "CacheFile | None":
        """Return the file of a principal in the cache folder of this machine; None if there can be no such folder."""
        with contextlib.suppress(InvalidConfiguration):
            root = Cache.default().root
            file = cls(root / "resolves" / file_name(seal_key(origin, token)), origin, token)
            file._cache_root = root
            return file
        return None

    def load(self) -> dict[str, StoredAnswer]:
        """Return the stored answers by path; none if the file is missing, damaged, or of another principal."""
        now = self._wall_clock()
        return {
            path: StoredAnswer(body.encode(), now - at if at <= now else None)
            for path, (at, body) in self._read().items()
            if body is not None
        }

    def save(self, answers: Mapping[str, StoredAnswer], negative_ages: Mapping[str, float]) -> None:
        """Merge answers into the file; for each path the most recent entry wins, also one of another process.

        A path that was refused or changed so many seconds ago is stored without a body: another process that does not
        know of it must not restore the old answer.
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
        """Refuse cache folders that others can write; a path that the caller chose is not checked here."""
        if self._cache_root is None:
            return
        for folder in (self._cache_root, self.path.parent):
            with contextlib.suppress(FileNotFoundError):
                check_folder(folder)
