"""Copies of a version's files in a folder that the caller chose. The folder must not contain other files."""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from common_lib.artifacts.abandoned_files import sweep_copies
from common_lib.artifacts.cache import is_intact
from common_lib.errors import DigestMismatch, InvalidRequest
from common_lib.own_files import name_path_in_errors
from common_lib.types.artifacts import FileEntry, Manifest

_PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial")


def copy_blob(blob: Path, folder: Path, entry: FileEntry) -> None:
    """Copy a blob from the cache into the folder, to the path of its entry, and verify the copy.

    Raises:
        DigestMismatch: the copy does not have the digest of the entry.
        InvalidRequest: another file was created at that path at the same time.
    """
    final = folder / entry.path
    final.parent.mkdir(parents=True, exist_ok=True)
    copy = final.parent / f".{uuid.uuid4().hex}.partial"
    try:
        # The kernel copies, and shares the bytes if the file system can. The read-only mode of the blob is not copied.
        shutil.copyfile(blob, copy)
        if not is_intact(copy, entry):
            raise DigestMismatch(entry.path, expected=entry.sha256, actual="another digest")
        with name_path_in_errors(copy), copy.open("rb") as file:
            os.fsync(file.fileno())
        try:
            final.hardlink_to(copy)
        except FileExistsError:
            if not is_intact(final, entry):
                raise _occupied(final) from None
    finally:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)


def find_missing(folder: Path, manifest: Manifest) -> list[FileEntry]:
    """Return the files of a version that are not in the folder.

    Raises:
        InvalidRequest: the folder contains a foreign file, or a file of the version with different bytes.
    """
    if folder.exists() and not folder.is_dir():
        raise _occupied(folder)
    for parent in {(folder / entry.path).parent for entry in manifest.files}:
        sweep_copies(parent)
    missing = [entry for entry in manifest.files if not _has_file(folder, entry)]
    reject_foreign_files(folder, manifest)
    return missing


def reject_foreign_files(folder: Path, manifest: Manifest) -> None:
    """Raise InvalidRequest if a folder contains a file that does not belong to this version."""
    named = {entry.path for entry in manifest.files}
    for file in sorted(_list_files(folder)):
        # Temporary files are allowed: another process may be downloading the same version.
        if file.relative_to(folder).as_posix() not in named and not _PARTIAL.fullmatch(file.name):
            raise InvalidRequest(
                f"{str(file)!r} does not belong to this version",
                code="invalid_path",
                remedy="download into an empty folder, or move that file to another folder",
                field="folder",
                value=str(file),
            )


def _list_files(folder: Path) -> Iterator[Path]:
    """Yield the path of each file in the folder and its subfolders; do not follow links."""
    pending = [folder] if folder.exists() else []
    while pending:
        for place in pending.pop().iterdir():
            if place.is_dir() and not place.is_symlink():
                pending.append(place)
            else:
                yield place


def _has_file(folder: Path, entry: FileEntry) -> bool:
    _check_plain_path(folder, entry.path)
    file = folder / entry.path
    if not file.exists():
        return False
    if not is_intact(file, entry):
        raise _occupied(file)
    return True


def _check_plain_path(folder: Path, path: str) -> None:
    """Raise unless all existing parents of the file are folders and the file is regular; links are refused."""
    *parents, name = path.split("/")
    place = folder
    for segment in parents:
        place /= segment
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise _occupied(place)
    place /= name
    if place.is_symlink() or (place.exists() and not place.is_file()):
        raise _occupied(place)


def _occupied(file: Path) -> InvalidRequest:
    return InvalidRequest(
        f"{str(file)!r} already exists with different bytes, or is not a regular file or folder",
        code="invalid_path",
        remedy="download into an empty folder, or move that file to another folder",
        field="folder",
        value=str(file),
    )
