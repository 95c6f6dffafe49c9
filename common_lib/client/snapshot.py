"""A file through which the next process knows what this one was told: whole or not at all, and of one principal only.

The first line authenticates the rest by the token, so that nobody reads what another principal may see, and nothing is
believed that was written by who has no token, or that a disk has changed since.
"""

import contextlib
import hashlib
import hmac
import json
import logging
import os
import stat
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common_lib.artifacts.cache import Cache

_log = logging.getLogger(__name__)
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
        self._key = f"{origin}\n{token}".encode()
        self._wall = wall
        self._complained = False

    @classmethod
    def default(cls, origin: str, token: str) -> "SnapshotFile | None":
        """The one in the cache folder of this machine, named by a digest; None if there can be no such folder."""
        name = hashlib.sha256(f"{origin}\n{token}".encode()).hexdigest()
        with contextlib.suppress(RuntimeError):
            return cls(Cache.default().root / "resolves" / name, origin, token)
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
        try:
            self._write(json.dumps(dict(list(whole.items())[-_MOST:])))
        except OSError as error:
            if not self._complained:
                _log.warning("%s cannot be written, the next process will not know: %s", self.place, error)
            self._complained = True

    def _read(self) -> dict[str, tuple[float, str | None]]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            seal, _, text = _content(self.place).partition("\n")
            if hmac.compare_digest(seal, self._sealed(text)):
                return {path: (float(at), body) for path, (at, body) in json.loads(text).items()}
        return {}

    def _write(self, text: str) -> None:
        self.place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self.place.parent / f".{self.place.name}.{uuid.uuid4().hex}"
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{self._sealed(text)}\n{text}")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.place)
        except BaseException:
            new.unlink(missing_ok=True)
            raise

    def _sealed(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def _content(place: Path) -> str:
    # A pipe in its place must not hold us up.
    with os.fdopen(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST:
            raise ValueError(f"{place} is no snapshot")
        return file.read().decode()
