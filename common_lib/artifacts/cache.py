"""The cache of verified bytes on this machine, stored by digest and shared by all processes.

```
root/blobs/sha256/ab/abcd…        blobs; read-only; hashed again at each use
root/partial/<sha256>.<random>    incomplete downloads; the next download of the same bytes continues them
root/snapshots/<digest>/…         the files of a version: links to blobs
root/manifests/<digest>           the manifest of a version; JSON, preceded by its own SHA-256
root/references/<digest>          the version that a reference pointed to at its last fetch; signed with the token
root/resolves/<digest>            the last answers to resolve requests; signed with the token
```

The cache is used only if its folders belong to the current user and no other user can write in them.

There are no locks, because locks are not reliable on a network file system. Each file is written under a unique name
and gets its final name by an atomic rename. Two processes that write the same file write the same bytes.
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

from common_lib.artifacts.abandoned_files import ABANDONED_S, sweep, sweep_links
from common_lib.artifacts.local_version import LocalVersion
from common_lib.artifacts.offline_references import References
from common_lib.artifacts.progress import ProgressListener, ignore_progress
from common_lib.best_effort import best_effort
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
    """A folder on this machine that stores the verified bytes of files; all processes of the user share it.

    >>> Cache(Path("/var/cache/models")).blob("ab" * 32).name[:4]
    'abab'
    """

    root: Path

    @classmethod
    def default(cls) -> "Cache":
        """Return the cache in the folder `REGISTRY_CACHE`; without that variable, in the user's XDG cache folder.

        Raises:
            InvalidConfiguration: no environment variable contains a folder, and the user has no home folder.
        """
        try:
            if given := os.environ.get("REGISTRY_CACHE", "").strip():
                return cls(Path(given).expanduser())
            base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        except RuntimeError as error:
            raise InvalidConfiguration(
                f"cannot find a folder for the cache ({error}): set REGISTRY_CACHE to the path of a folder"
            ) from None
        return cls(Path(base) / "model-registry")

    def __post_init__(self) -> None:
        """Raise InvalidConfiguration for an empty path, because pathlib would use the current folder instead."""
        root: Any = self.root
        if not isinstance(root, str | Path) or not str(root).strip() or "\0" in str(root):
            raise InvalidConfiguration(f"Cache({root!r:.200}): pass the path of a folder; '.' is the current folder")
        object.__setattr__(self, "root", Path(root))

    def blob(self, sha256: str) -> Path:
        """Return the path of the blob with this digest in the cache; the file need not exist."""
        return self.root / "blobs" / "sha256" / sha256[:2] / sha256

    def find_missing(self, entries: Iterable[FileEntry], report: ProgressListener = ignore_progress) -> list[FileEntry]:
        """Verify the cached blobs of these files, remove damaged blobs, and return the files that must be fetched."""
        found = []
        for entry in entries:
            place = self.blob(entry.sha256)
            with contextlib.suppress(FileNotFoundError):
                check_folder(place.parent)
            intact = is_intact(place, entry, report)
            if intact and not _is_protected(place):
                intact = False
            if intact is False:
                with contextlib.suppress(FileNotFoundError), name_path_in_errors(place):
                    place.unlink()
            if not intact:
                found.append(entry)
        return found

    def start_download(self, entry: FileEntry, report: ProgressListener = ignore_progress) -> "PartialDownload":
        """Begin the download of a file; continue an earlier download of the same bytes if it was abandoned."""
        return PartialDownload(self, entry, report)

    def link_files(self, version: ModelVersion, manifest: Manifest, provenance: Provenance) -> LocalVersion:
        """Create the folder of a version, with a link from each file to its blob. The caller has verified the blobs."""
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

    def check_folders(self) -> None:
        """Raise if a folder of the cache is unsafe. Folders that do not exist yet are safe.

        Raises:
            UnsafeFile: a folder is a link, or another user owns it or can write in it; the message contains the
                command that repairs the folder.
        """
        for name in _FOLDERS:
            with contextlib.suppress(FileNotFoundError):
                check_folder(self.root / name)

    def references(self, origin: str) -> References:
        """Return the record of the version that each reference of a registry pointed to at its last fetch."""
        return References(self.root, origin)

    def record_manifest(self, manifest: Manifest) -> None:
        """Store a manifest for offline use, and remove temporary files of killed processes. Ignore disk errors."""
        with best_effort(self.root):
            if self.find_manifest(manifest.digest) != manifest:
                text = manifest.model_dump_json().encode()
                make_folder(self.root / "manifests")
                path = self._manifest_path(manifest.digest)
                replace_own(path, hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        sweep(self.root)

    def find_manifest(self, digest: str) -> Manifest | None:
        """Return the stored manifest with this digest, or None. The caller must verify that it has the digest."""
        with contextlib.suppress(OSError, ValueError):
            sha256, _, text = read_own(self._manifest_path(digest), most_bytes=_MOST_BYTES).partition(b"\n")
            if sha256 == hashlib.sha256(text).hexdigest().encode():
                return Manifest.model_validate_json(text)
        return None

    def abandoned_partials(self, sha256: str) -> list[Path]:
        """Return the incomplete files of abandoned downloads of this digest, the largest first."""
        found = []
        for place in (self.root / "partial").glob(f"{sha256}.*"):
            with contextlib.suppress(FileNotFoundError):
                about = place.lstat()
                if stat.S_ISREG(about.st_mode) and time.time() - about.st_mtime > ABANDONED_S:
                    found.append((about.st_size, place))
        return [place for _, place in sorted(found, reverse=True)]

    def _manifest_path(self, digest: str) -> Path:
        return self.root / "manifests" / digest.removeprefix("sha256:")


class PartialDownload:
    """A file during its download to the cache. It has a temporary name until all its bytes are verified."""

    def __init__(self, cache: Cache, entry: FileEntry, report: ProgressListener) -> None:
        self._final = cache.blob(entry.sha256)
        self._entry = entry
        self._report = report
        self._partial = cache.root / "partial" / f"{entry.sha256}.{uuid.uuid4().hex}"
        make_folder(self._partial.parent)
        with name_path_in_errors(self._partial):
            self._file: BinaryIO = self._partial.open("xb", buffering=0)
        # A cancelled caller closes the file while a thread may still write to it. If the descriptor were closed before
        # that write ends, another file could get its number, and the write would go there.
        self._lock = threading.RLock()
        self._hash = hashlib.sha256()
        self.held = 0
        try:
            for abandoned in cache.abandoned_partials(entry.sha256):
                self._continue_from(abandoned)
        except BaseException:
            self.close()
            raise

    def begin(self, start: int) -> None:
        """Prepare to write from position `start`: go on if all bytes before `start` are present, else start again at 0.

        Raises:
            DigestMismatch: `start` is neither the number of present bytes nor 0.
        """
        with self._lock:
            if start != self.held:
                self._file.seek(0)
                self._file.truncate()
                self._hash = hashlib.sha256()
                self.held = 0
        if start != self.held:
            raise DigestMismatch(self._entry.path, expected=self._entry.sha256, actual=f"bytes from {start} on")

    def write(self, chunk: bytes) -> None:
        """Write the next bytes, but never more than the size of the file; an endless response cannot fill the disk.

        Raises:
            DigestMismatch: the file would become larger than its size in the manifest.
        """
        if self.held + len(chunk) > self._entry.size:
            actual = f"more than {self._entry.size} bytes"
            raise DigestMismatch(self._entry.path, expected=self._entry.sha256, actual=actual)
        with self._lock, name_path_in_errors(self._partial):
            self._hash.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[self._file.write(view) or 0 :]
            self.held += len(chunk)
        self._report(self._entry.path, self.held, self._entry.size)

    def publish(self) -> None:
        """Verify the bytes and rename the file to its final name in the cache.

        Raises:
            DigestMismatch: the digest or the size is wrong; the bytes are discarded.
        """
        actual = self._hash.hexdigest()
        if actual == self._entry.sha256 and self.held != self._entry.size:
            actual = f"the same digest, but a size of {self.held} bytes instead of {self._entry.size}"
        if actual != self._entry.sha256:
            self.begin(0)
            raise DigestMismatch(self._entry.path, expected=self._entry.sha256, actual=actual)
        with self._lock, name_path_in_errors(self._partial):
            os.fchmod(self._file.fileno(), 0o444)
            os.fsync(self._file.fileno())
        make_folder(self._final.parent)
        with name_path_in_errors(self._final):
            self._partial.replace(self._final)

    def close(self) -> None:
        """Close the file. Keep an incomplete file for the next download of the same bytes; remove an empty file."""
        with self._lock:
            self._file.close()
        # An error here would hide the one that ended the download.
        with contextlib.suppress(OSError):
            if not self.held:
                self._partial.unlink(missing_ok=True)
            else:
                # Back-dated: the next download may continue it at once.
                abandoned = time.time() - 2 * ABANDONED_S
                os.utime(self._partial, (abandoned, abandoned))

    def _continue_from(self, abandoned: Path) -> None:
        # Copied and not renamed: a process that still writes to it must not write into this file.
        with contextlib.suppress(OSError):
            if not self.held:
                with abandoned.open("rb", buffering=0) as old:
                    while self.held < self._entry.size and (chunk := old.read(_CHUNK)):
                        self.write(chunk[: self._entry.size - self.held])
            abandoned.unlink()


def _folders(folder: Path, manifest: Manifest) -> list[Path]:
    """Return the folder of a version and all its subfolders; each parent comes before its subfolders."""
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


def _is_protected(place: Path) -> bool:
    """Return True if the path is a regular file that only this user can change."""
    try:
        found = place.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def is_intact(place: Path, entry: FileEntry, report: ProgressListener = ignore_progress) -> bool | None:
    """Return True if a file has the size and digest of the entry, False if it does not, None if it does not exist."""
    try:
        # Without O_NONBLOCK a pipe at this path would block the caller.
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
