"""Files that this product writes for itself and must be able to trust: opened, checked and replaced in one place.

A file or folder is trusted if it belongs to the user of this process and nobody else can write it. Links are never
followed, and a pipe or device in the place of a file is refused at once instead of blocking the caller.
"""

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_FOR_OTHERS: Final = 0o077
_WRITABLE_BY_OTHERS: Final = 0o022


class UnsafeFile(OSError):
    """A file or folder of ours that others control; the message names it and the command that mends it."""

    def __init__(self, path: Path, why: str, remedy: str) -> None:
        self.path = path
        self.why = why
        self.remedy = remedy
        super().__init__(errno.EPERM, f"{why}: {remedy}", str(path))

    def __str__(self) -> str:
        return f"{self.path} {self.why}: {self.remedy}"


def check_folder(folder: Path) -> None:
    """Raise unless a folder belongs to this user and nobody else can write in it.

    Raises:
        UnsafeFile: it is a link or not a folder, belongs to somebody else, or others can write in it.
        FileNotFoundError: it does not exist.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafeFile(folder, "is not a folder", "move it away, or name the folder itself instead of a link to it")
    _check_owner(folder, found)
    if found.st_mode & _WRITABLE_BY_OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise UnsafeFile(folder, f"has mode {mode:04o}, so others can change it", f"chmod 700 {folder}")


def make_folder(folder: Path) -> None:
    """Make a folder of mode 0700, and each folder above it that is missing; one that exists stays as it is."""
    if folder.is_dir():
        return
    if not folder.parent.exists():
        make_folder(folder.parent)
    try:
        with name_path_in_errors(folder):
            folder.mkdir(0o700)
    except FileExistsError:
        # Another process was faster, or something else, such as a file, stands in its place.
        if not folder.is_dir():
            raise


@contextlib.contextmanager
def name_path_in_errors(path: Path) -> Iterator[None]:
    """Give a path to errors of the operating system that have none, such as those of a write or an fsync."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def check_own(path: Path, *, secret: bool = False) -> None:
    """Raise unless a file is regular, belongs to this user, and nobody else can write it; it is not opened.

    For files that must not be opened, such as those of SQLite, whose locks end when any descriptor is closed. With
    `secret`, other users must not be able to read it either.

    Raises:
        UnsafeFile: as `read_own`.
        FileNotFoundError: it does not exist.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise UnsafeFile(path, "is a symbolic link", "put the file itself in its place")
    _check_file(path, found, secret=secret)


def read_own(path: Path, *, most_bytes: int, secret: bool = False) -> bytes:
    """Return the bytes of a regular file that belongs to this user and that nobody else can write.

    With `secret`, other users must not be able to read it either.

    Raises:
        UnsafeFile: it is a link, a pipe or a device, belongs to somebody else, others can change it, or it holds more
            than `most_bytes` bytes.
        FileNotFoundError: it does not exist.
    """
    with name_path_in_errors(path), os.fdopen(_checked(path, os.O_RDONLY, secret=secret), "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise UnsafeFile(path, f"holds more than {most_bytes:,} bytes", "it was not written by this product; remove it")
    return content


def replace_own(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 durably, in place of the one that was there; a reader sees the old or the new one."""
    partial = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        create_own(partial, content)
        with name_path_in_errors(path):
            partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def create_own(path: Path, content: bytes) -> None:
    """Write a new file of mode 0600 durably.

    Raises:
        FileExistsError: something stands in its place, a dangling link included.
    """
    with name_path_in_errors(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)


def open_own(path: Path) -> int:
    """Open a file of ours for reading and writing, made with mode 0600 if it is missing, and return its descriptor.

    Raises:
        UnsafeFile: as `read_own`.
    """
    return _checked(path, os.O_RDWR | os.O_CREAT, secret=False)


def _checked(path: Path, flags: int, *, secret: bool) -> int:
    descriptor = _open(path, flags)
    try:
        _check_file(path, os.fstat(descriptor), secret=secret)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open(path: Path, flags: int) -> int:
    try:
        # Without O_NONBLOCK a pipe in its place would block the caller.
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:
            raise UnsafeFile(path, "is a symbolic link", "put the file itself in its place") from None
        if error.errno in {errno.ENXIO, errno.EISDIR}:
            raise UnsafeFile(path, "is not a regular file", "move it away") from None
        raise


def _check_file(path: Path, found: os.stat_result, *, secret: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UnsafeFile(path, "is not a regular file", "move it away")
    _check_owner(path, found)
    if found.st_mode & (_FOR_OTHERS if secret else _WRITABLE_BY_OTHERS):
        mode = stat.S_IMODE(found.st_mode)
        can = "read" if secret else "change"
        raise UnsafeFile(path, f"has mode {mode:04o}, so others can {can} it", f"chmod 600 {path}")


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise UnsafeFile(
            path,
            f"belongs to user {found.st_uid}, and this process runs as user {os.geteuid()}",
            f"run as that user, or chown it: chown {os.geteuid()} {path}",
        )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
