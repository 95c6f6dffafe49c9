"""Verified bytes on this machine, shared by all processes, under their digests.

```
root/blobs/sha256/ab/abcd…        the bytes; read-only; hashed again whenever they are used
root/partial/<sha256>.<random>    on their way in; taken over by the next who wants the same bytes
root/snapshots/<digest>/…         the files of a version: links to the bytes
root/manifests/<digest>           what files a version has; JSON, behind its own SHA-256
root/references/<digest>          what a reference meant when it was last asked for; the same
```

There are no locks, which would do nothing on a network file system: every file is made under a name of its own and gets
its final one by an atomic rename, and two who make the same file make the same bytes.
"""

import contextlib
import hashlib
import os
import stat
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from common_lib.artifacts.progress import Report, nobody
from common_lib.artifacts.snapshot import Snapshot
from common_lib.errors import DigestMismatch, NotCached, VersionRecalled
from common_lib.staleness import Known
from common_lib.values import FileEntry, Manifest, ModelVersion

_CHUNK = 1024**2
# Nobody who still writes pauses for so long.
_ABANDONED_S = 300.0


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of verified bytes.

    >>> Cache(Path("/var/cache/models")).blob("ab" * 32).name[:4]
    'abab'
    """

    root: Path

    @classmethod
    def default(cls) -> "Cache":
        """The folder in `REGISTRY_CACHE`, or one of the user's own as the XDG base directory specification says."""
        if given := os.environ.get("REGISTRY_CACHE"):
            return cls(Path(given))
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return cls(Path(base) / "model-registry")

    def blob(self, sha256: str) -> Path:
        """Where the bytes of a digest stand, if they are here."""
        return self.root / "blobs" / "sha256" / sha256[:2] / sha256

    def missing(self, entries: Iterable[FileEntry], report: Report = nobody) -> list[FileEntry]:
        """The files whose bytes are not here; bytes that have changed are removed, and so are missing too."""
        found = []
        for entry in entries:
            sound = is_sound(self.blob(entry.sha256), entry, report)
            if sound is False:
                with contextlib.suppress(FileNotFoundError):
                    self.blob(entry.sha256).unlink()
            if not sound:
                found.append(entry)
        return found

    def arriving(self, entry: FileEntry, report: Report = nobody) -> "Arriving":
        """The bytes of a file on their way in, beginning with what an earlier, abandoned download brought."""
        return Arriving(self, entry, report)

    def snapshot(self, version: ModelVersion, manifest: Manifest, known: Known) -> Snapshot:
        """The files of a version as a folder, out of bytes that are here and were just verified."""
        folder = self.root / "snapshots" / manifest.digest.removeprefix("sha256:")
        for entry in manifest.files:
            place = folder / entry.path
            target = os.path.relpath(self.blob(entry.sha256), place.parent)
            if not place.is_symlink() or str(place.readlink()) != target:
                place.parent.mkdir(parents=True, exist_ok=True)
                link = place.parent / f".{uuid.uuid4().hex}"
                link.symlink_to(target)
                link.replace(place)
        return Snapshot(version, manifest, folder, **known.how())

    def remember(self, origin: str, reference: str, version: ModelVersion, manifest: Manifest) -> None:
        """Keep what a reference means, for those who ask while the registry does not answer."""
        self._keep(self._manifest(manifest.digest), manifest.model_dump_json())
        for text in {reference, version.reference}:
            self._keep(self._reference(origin, text), version.model_dump_json())
        self._recalled(origin, version.reference).unlink(missing_ok=True)

    def remember_recall(self, origin: str, name: str, recalled: VersionRecalled) -> None:
        """Keep that a version of a model is recalled, so that it is refused also while the registry does not answer."""
        self._keep(self._recalled(origin, f"models:/{name}/{recalled.value}"), recalled.detail)

    def manifest(self, digest: str) -> Manifest | None:
        """The files of a version, if they were ever asked for; to be checked against its digest."""
        try:
            return Manifest.model_validate_json(_kept(self._manifest(digest)))
        except (OSError, ValueError):
            return None

    def remembered(self, origin: str, reference: str) -> tuple[ModelVersion, Manifest]:
        """What a reference meant when it was last asked for.

        Raises:
            NotCached: it never was, or what was kept is damaged.
            VersionRecalled: it means a version that was recalled when it was last asked for.
        """
        with contextlib.suppress(OSError, ValueError):
            version = ModelVersion.model_validate_json(_kept(self._reference(origin, reference)))
            self._refuse_recalled(origin, version)
            if (manifest := self.manifest(version.digest)) is not None:
                return version, manifest
        raise NotCached(reference, str(self.root))

    def partials(self, sha256: str) -> list[Path]:
        """What downloads of these bytes have left behind, the largest first."""
        found = []
        for place in (self.root / "partial").glob(f"{sha256}.*"):
            with contextlib.suppress(FileNotFoundError):
                about = place.lstat()
                if stat.S_ISREG(about.st_mode) and time.time() - about.st_mtime > _ABANDONED_S:
                    found.append((about.st_size, place))
        return [place for _, place in sorted(found, reverse=True)]

    def _refuse_recalled(self, origin: str, version: ModelVersion) -> None:
        place = self._recalled(origin, version.reference)
        if not place.exists():
            return
        told = f"{version.reference} was recalled"
        with contextlib.suppress(OSError, ValueError):
            told = _kept(place).decode()
        raise VersionRecalled(
            told,
            code="version_recalled",
            remedy="use another version, or ask the registry whether it was reinstated",
            field="version",
            value=version.version,
            status=410,
        )

    def _manifest(self, digest: str) -> Path:
        return self.root / "manifests" / digest.removeprefix("sha256:")

    def _reference(self, origin: str, reference: str) -> Path:
        name = hashlib.sha256(f"{origin}\n{reference}".encode()).hexdigest()
        return self.root / "references" / name

    def _recalled(self, origin: str, reference: str) -> Path:
        return self.root / "recalled" / self._reference(origin, reference).name

    def _keep(self, place: Path, text: str) -> None:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = place.parent / f".{uuid.uuid4().hex}"
        new.write_bytes(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}".encode())
        new.replace(place)


def _kept(place: Path) -> bytes:
    """The document that was kept there.

    Raises:
        ValueError: it has changed since.
    """
    sha256, _, text = place.read_bytes().partition(b"\n")
    if sha256 != hashlib.sha256(text).hexdigest().encode():
        raise ValueError(f"{place} is damaged")
    return text


class Arriving:
    """A file on its way into the cache: hashed while it comes, under a name of its own until it is right."""

    def __init__(self, cache: Cache, entry: FileEntry, report: Report) -> None:
        self._final = cache.blob(entry.sha256)
        self._entry = entry
        self._report = report
        self._partial = cache.root / "partial" / f"{entry.sha256}.{uuid.uuid4().hex}"
        self._partial.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file: BinaryIO = self._partial.open("xb", buffering=0)
        # A caller that is cancelled closes this while a thread may still write: the descriptor must not be closed, and
        # its number given to another file, before that write has ended.
        self._turn = threading.RLock()
        self._hash = hashlib.sha256()
        self.held = 0
        try:
            for abandoned in cache.partials(entry.sha256):
                self._take_over(abandoned)
        except BaseException:
            self.close()
            raise

    def begin(self, start: int) -> None:
        """Go on behind the first `start` bytes, all of which are held, or from the beginning."""
        with self._turn:
            if start != self.held:
                self._file.seek(0)
                self._file.truncate()
                self._hash = hashlib.sha256()
                self.held = 0
        if start != self.held:
            raise DigestMismatch(self._entry.path, expected=self._entry.sha256, actual=f"bytes from {start} on")

    def write(self, chunk: bytes) -> None:
        """Take the next bytes, but no more than were announced: an endless answer must not fill the disk."""
        if self.held + len(chunk) > self._entry.size:
            actual = f"more than {self._entry.size} bytes"
            raise DigestMismatch(self._entry.path, expected=self._entry.sha256, actual=actual)
        with self._turn:
            self._hash.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[self._file.write(view) or 0 :]
            self.held += len(chunk)
        self._report(self._entry.path, self.held, self._entry.size)

    def publish(self) -> None:
        """Give the bytes their name, if they are right.

        Raises:
            DigestMismatch: they are not; they are forgotten.
        """
        actual = self._hash.hexdigest()
        if actual == self._entry.sha256 and self.held != self._entry.size:
            actual = f"{self.held} bytes with that digest, where the manifest says {self._entry.size}"
        if actual != self._entry.sha256:
            self.begin(0)
            raise DigestMismatch(self._entry.path, expected=self._entry.sha256, actual=actual)
        with self._turn:
            os.fchmod(self._file.fileno(), 0o444)
            os.fsync(self._file.fileno())
        self._final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._partial.replace(self._final)

    def close(self) -> None:
        """End; what came so far is left for the next who wants it, unless it is nothing."""
        with self._turn:
            self._file.close()
        if not self.held:
            self._partial.unlink(missing_ok=True)
        else:
            # So that it is taken over at once and not only when it looks abandoned.
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._partial, (0, 0))

    def _take_over(self, abandoned: Path) -> None:
        # Copied and not renamed: if its owner still lives, it must not write into our file.
        with contextlib.suppress(OSError):
            if not self.held:
                with abandoned.open("rb", buffering=0) as old:
                    while self.held < self._entry.size and (chunk := old.read(_CHUNK)):
                        self.write(chunk[: self._entry.size - self.held])
            abandoned.unlink()


def is_sound(place: Path, entry: FileEntry, report: Report = nobody) -> bool | None:
    """Whether a file has the bytes of an entry; None if there is no file."""
    try:
        # A pipe in its place must not hold us up.
        with os.fdopen(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_size != entry.size:
                return False
            digest, done = hashlib.sha256(), 0
            buffer = memoryview(bytearray(min(_CHUNK, max(entry.size, 1))))
            while length := file.readinto(buffer):
                digest.update(buffer[:length])
                done += length
                report(entry.path, done, entry.size)
            return digest.hexdigest() == entry.sha256
    except FileNotFoundError:
        return None
    except OSError:
        return False
