"""Open, check and replace the files that this product writes for itself, protected from other users.

A file or folder is trusted if the user of this process owns it and no other user can write to it. Links are never
followed. A pipe or a device at the path of a file is refused immediately, and does not block the caller.
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
    """A file or folder that other users can control. The message contains its path and the command that repairs it."""

    def __init__(self, path: Path, why: str, remedy: str) -> None:
        self.path = path
        self.why = why
        self.remedy = remedy
        super().__init__(errno.EPERM, f"{why}: {remedy}", str(path))

    def __str__(self) -> str:
        return f"{self.path} {self.why}: {self.remedy}"


def check_folder(folder: Path) -> None:
    """Check that this user owns a folder and no other user can write to the folder.

    Raises:
        UnsafeFile: the path is a link or not a folder, another user owns the folder, or other users can write to it.
        FileNotFoundError: the path does not exist.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafeFile(folder, "is not a folder", "move it away, or if it is a link, use the path of its target")
    _check_owner(folder, found)
    if found.st_mode & _WRITABLE_BY_OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise UnsafeFile(folder, f"has mode {mode:04o}, so others can change it", f"chmod 700 {folder}")


def make_folder(folder: Path) -> None:
    """Create a folder with mode 0700, and its missing parents too; leave a folder that exists as it is."""
    if folder.is_dir():
        return
    if not folder.parent.exists():
        make_folder(folder.parent)
    try:
        with name_path_in_errors(folder):
            folder.mkdir(0o700)
    except FileExistsError:
        # Another process created it first, or the path is something else, such as a file.
        if not folder.is_dir():
            raise


@contextlib.contextmanager
def name_path_in_errors(path: Path) -> Iterator[None]:
    """Add `path` to each `OSError` in the block that contains no path, such as an error of `write` or `fsync`."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def check_own(path: Path, *, secret: bool = False) -> None:
    """Check that a file is regular, that this user owns it, and that no other user can write to it. Do not open it.

    A file of SQLite must not be opened for this check, because closing any of its descriptors releases its locks. With
    `secret`, other users must not be able to read the file either.

    Raises:
        UnsafeFile: as for `read_own`.
        FileNotFoundError: it does not exist.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise UnsafeFile(path, "is a symbolic link", "replace the link by the file itself")
    _check_file(path, found, secret=secret)


def read_own(path: Path, *, most_bytes: int, secret: bool = False) -> bytes:
    """Return the content of a regular file that this user owns and no other user can write to.

    With `secret`, other users must not be able to read the file either.

    Raises:
        UnsafeFile: the path is a link, a pipe or a device, another user owns the file, other users can write to it,
            or it contains more than `most_bytes` bytes.
        FileNotFoundError: the path does not exist.
    """
    with name_path_in_errors(path), os.fdopen(_open_checked(path, os.O_RDONLY, secret=secret), "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise UnsafeFile(
            path, f"contains more than {most_bytes:,} bytes", "remove it: it was not written by this product"
        )
    return content


def replace_own(path: Path, content: bytes) -> None:
    """Replace a file durably and atomically, with mode 0600: a reader gets either the old or the new content."""
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
    """Create a file with mode 0600, and write its content durably.

    Raises:
        FileExistsError: the path already exists, even if only as a link without a target.
    """
    with name_path_in_errors(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)


def open_own(path: Path) -> int:
    """Open a file for reading and writing, create it with mode 0600 if it is missing, and return its descriptor.

    Raises:
        UnsafeFile: as for `read_own`.
    """
    return _open_checked(path, os.O_RDWR | os.O_CREAT, secret=False)


def _open_checked(path: Path, flags: int, *, secret: bool) -> int:
    descriptor = _open(path, flags)
    try:
        _check_file(path, os.fstat(descriptor), secret=secret)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open(path: Path, flags: int) -> int:
    try:
        # Without O_NONBLOCK a pipe at this path would block the caller.
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:
            raise UnsafeFile(path, "is a symbolic link", "replace the link by the file itself") from None
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
