"""Verified bytes on this machine, shared by all processes, under their digests.

```
root/blobs/sha256/ab/abcd…        the bytes; read-only; hashed again whenever they are used
root/partial/<sha256>.<random>    on their way in; taken over by the next who wants the same bytes
root/snapshots/<digest>/…         the files of a version: links to the bytes
root/manifests/<digest>           what files a version has; JSON, behind its own SHA-256
root/references/<digest>          what a reference meant when it was last asked for; sealed, see `references`
root/resolves/<digest>            the answers to resolves of the last process; sealed too
```

All folders belong to one user, and nobody else can write in them: others are refused.

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
from typing import Any, BinaryIO

from common_lib.artifacts.local_version import LocalVersion
from common_lib.artifacts.progress import ProgressListener, ignore_progress
from common_lib.artifacts.references import References
from common_lib.artifacts.sweep import ABANDONED_S, sweep, sweep_links
from common_lib.bookkeeping import best_effort
from common_lib.errors import DigestMismatch, InvalidConfiguration
from common_lib.own_files import check_folder, make_folder, name_path_in_errors, read_own, replace_own
from common_lib.staleness import Provenance
from common_lib.types.artifacts import FileEntry, Manifest
from common_lib.types.versions import ModelVersion

_CHUNK = 1024**2
_MOST_BYTES = 64 * 1024**2
_FOLDERS = ("", "blobs", "blobs/sha256", "partial", "snapshots", "manifests", "references")


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of verified bytes.

    >>> Cache(Path("/var/cache/models")).blob("ab" * 32).name[:4]
    'abab'
    """

    root: Path

    @classmethod
    def default(cls) -> "Cache":
        """Choose the folder in `REGISTRY_CACHE`, or else the one of the XDG base directory specification.

        Raises:
            InvalidConfiguration: no variable names one, and this user has no home.
        """
        try:
            if given := os.environ.get("REGISTRY_CACHE", "").strip():
                return cls(Path(given).expanduser())
            base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        except RuntimeError as error:
            raise InvalidConfiguration(
                f"no folder for the cache can be chosen ({error}): name one in REGISTRY_CACHE"
            ) from None
        return cls(Path(base) / "model-registry")

    def __post_init__(self) -> None:
        """Refuse an empty path, which would mean the current folder."""
        root: Any = self.root
        if not isinstance(root, str | Path) or not str(root).strip() or "\0" in str(root):
            raise InvalidConfiguration(f"Cache({root!r:.200}): name a folder; '.' is the current one")
        object.__setattr__(self, "root", Path(root))

    def blob(self, sha256: str) -> Path:
        """Where the bytes of a digest stand, if they are here."""
        return self.root / "blobs" / "sha256" / sha256[:2] / sha256

    def missing(self, entries: Iterable[FileEntry], report: ProgressListener = ignore_progress) -> list[FileEntry]:
        """The files whose bytes are not here; bytes that have changed are removed, and so are missing too."""
        found = []
        for entry in entries:
            place = self.blob(entry.sha256)
            with contextlib.suppress(FileNotFoundError):
                check_folder(place.parent)
            sound = is_intact(place, entry, report)
            if sound and not _is_ours(place):
                sound = False
            if sound is False:
                with contextlib.suppress(FileNotFoundError), name_path_in_errors(place):
                    place.unlink()
            if not sound:
                found.append(entry)
        return found

    def start_download(self, entry: FileEntry, report: ProgressListener = ignore_progress) -> "PartialDownload":
        """The bytes of a file on their way in, beginning with what an earlier, abandoned download brought."""
        return PartialDownload(self, entry, report)

    def local_version(self, version: ModelVersion, manifest: Manifest, provenance: Provenance) -> LocalVersion:
        """The files of a version as a folder, out of bytes that are here and were just verified."""
        folder = self.root / "snapshots" / manifest.digest.removeprefix("sha256:")
        for parent in _folders(folder, manifest):
            make_folder(parent)
            check_folder(parent)
            sweep_links(parent)
        for entry in manifest.files:
            place = folder / entry.path
            target = os.path.relpath(self.blob(entry.sha256), place.parent)
            if not place.is_symlink() or str(place.readlink()) != target:
                _link(place, target)
        return LocalVersion(version, manifest, folder, **provenance.as_fields())

    def check(self) -> None:
        """Raise unless the folders of the cache that exist belong to this user, and nobody else can write in them.

        Raises:
            UnsafeFile: one does not, or a link stands in its place; the message names it and the command that mends it.
        """
        for name in _FOLDERS:
            with contextlib.suppress(FileNotFoundError):
                check_folder(self.root / name)

    def references(self, origin: str) -> References:
        """Open the record of what the references of a registry meant when it last answered."""
        return References(self.root, origin)

    def remember(self, manifest: Manifest) -> None:
        """Record which files a version has, and remove what killed processes left. No error of a disk is raised."""
        with best_effort(self.root):
            if self.manifest(manifest.digest) != manifest:
                text = manifest.model_dump_json().encode()
                make_folder(self.root / "manifests")
                replace_own(self._manifest(manifest.digest), hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        sweep(self.root)

    def manifest(self, digest: str) -> Manifest | None:
        """Return the files of a version if they were fetched before; the caller checks them against its digest."""
        with contextlib.suppress(OSError, ValueError):
            sha256, _, text = read_own(self._manifest(digest), most_bytes=_MOST_BYTES).partition(b"\n")
            if sha256 == hashlib.sha256(text).hexdigest().encode():
                return Manifest.model_validate_json(text)
        return None

    def abandoned_partials(self, sha256: str) -> list[Path]:
        """What downloads of these bytes have left behind, the largest first."""
        found = []
        for place in (self.root / "partial").glob(f"{sha256}.*"):
            with contextlib.suppress(FileNotFoundError):
                about = place.lstat()
                if stat.S_ISREG(about.st_mode) and time.time() - about.st_mtime > ABANDONED_S:
                    found.append((about.st_size, place))
        return [place for _, place in sorted(found, reverse=True)]

    def _manifest(self, digest: str) -> Path:
        return self.root / "manifests" / digest.removeprefix("sha256:")


class PartialDownload:
    """A file on its way into the cache: hashed while it comes, under a name of its own until it is right."""

    def __init__(self, cache: Cache, entry: FileEntry, report: ProgressListener) -> None:
        self._final = cache.blob(entry.sha256)
        self._entry = entry
        self._report = report
        self._partial = cache.root / "partial" / f"{entry.sha256}.{uuid.uuid4().hex}"
        make_folder(self._partial.parent)
        with name_path_in_errors(self._partial):
            self._file: BinaryIO = self._partial.open("xb", buffering=0)
        # A caller that is cancelled closes this while a thread may still write: the descriptor must not be closed, and
        # its number given to another file, before that write has ended.
        self._turn = threading.RLock()
        self._hash = hashlib.sha256()
        self.held = 0
        try:
            for abandoned in cache.abandoned_partials(entry.sha256):
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
        with self._turn, name_path_in_errors(self._partial):
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
        with self._turn, name_path_in_errors(self._partial):
            os.fchmod(self._file.fileno(), 0o444)
            os.fsync(self._file.fileno())
        make_folder(self._final.parent)
        with name_path_in_errors(self._final):
            self._partial.replace(self._final)

    def close(self) -> None:
        """End; what came so far is left for the next who wants it, unless it is nothing."""
        with self._turn:
            self._file.close()
        # An error here would cover up the one that ended the download.
        with contextlib.suppress(OSError):
            if not self.held:
                self._partial.unlink(missing_ok=True)
            else:
                # So that it is taken over at once and not only when it looks abandoned.
                abandoned = time.time() - 2 * ABANDONED_S
                os.utime(self._partial, (abandoned, abandoned))

    def _take_over(self, abandoned: Path) -> None:
        # Copied and not renamed: if its owner still lives, it must not write into our file.
        with contextlib.suppress(OSError):
            if not self.held:
                with abandoned.open("rb", buffering=0) as old:
                    while self.held < self._entry.size and (chunk := old.read(_CHUNK)):
                        self.write(chunk[: self._entry.size - self.held])
            abandoned.unlink()


def _folders(folder: Path, manifest: Manifest) -> list[Path]:
    """Return a folder and all folders in it that files of a version stand in, each behind the one it is in."""
    found = {folder}
    for entry in manifest.files:
        parent = (folder / entry.path).parent
        while parent not in found:
            found.add(parent)
            parent = parent.parent
    return sorted(found)


def _link(place: Path, target: str) -> None:
    link = place.parent / f".{uuid.uuid4().hex}"
    try:
        with name_path_in_errors(place):
            link.symlink_to(target)
            link.replace(place)
    except OSError:
        with contextlib.suppress(OSError):
            link.unlink(missing_ok=True)
        raise


def _is_ours(place: Path) -> bool:
    """Return False if another user could exchange the bytes after they were verified."""
    try:
        found = place.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def is_intact(place: Path, entry: FileEntry, report: ProgressListener = ignore_progress) -> bool | None:
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
