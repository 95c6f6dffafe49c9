"""A folder of the user's own that is filled with the files of a version, and never holds anything else afterwards."""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from common_lib.artifacts.cache import is_intact
from common_lib.artifacts.sweep import sweep_copies
from common_lib.errors import DigestMismatch, InvalidRequest
from common_lib.own_files import name_path_in_errors
from common_lib.types.artifacts import FileEntry, Manifest

_PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial")


def place(blob: Path, folder: Path, entry: FileEntry) -> None:
    """Copy verified bytes to their path in the folder; the copy is verified before it gets its name.

    Raises:
        DigestMismatch: the bytes changed in between.
        InvalidRequest: something else took the place in between.
    """
    final = folder / entry.path
    final.parent.mkdir(parents=True, exist_ok=True)
    copy = final.parent / f".{uuid.uuid4().hex}.partial"
    try:
        # A copy by the kernel, which shares the bytes where the file system can; the mode of the cache is not copied.
        shutil.copyfile(blob, copy)
        if not is_intact(copy, entry):
            raise DigestMismatch(entry.path, expected=entry.sha256, actual="another one")
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


def missing_in(folder: Path, manifest: Manifest) -> list[FileEntry]:
    """The files that are still to fetch into a folder that holds nothing but files of this version."""
    if folder.exists() and not folder.is_dir():
        raise _occupied(folder)
    for parent in {(folder / entry.path).parent for entry in manifest.files}:
        sweep_copies(parent)
    missing = [entry for entry in manifest.files if not _have(folder, entry)]
    reject_foreign_files(folder, manifest)
    return missing


def reject_foreign_files(folder: Path, manifest: Manifest) -> None:
    """Refuse a folder that holds anything but files of this version."""
    named = {entry.path for entry in manifest.files}
    for file in sorted(_entries(folder)):
        # What is still arriving, perhaps for somebody else who fetches the same version, has no name yet.
        if file.relative_to(folder).as_posix() not in named and not _PARTIAL.fullmatch(file.name):
            raise InvalidRequest(
                f"{str(file)!r} is no file of this version, so the folder would hold a mix",
                code="invalid_path",
                remedy="download into an empty folder, or move that file away",
                field="folder",
                value=str(file),
            )


def _entries(folder: Path) -> Iterator[Path]:
    """Whatever is no folder, at any depth; links are not followed."""
    pending = [folder] if folder.exists() else []
    while pending:
        for place in pending.pop().iterdir():
            if place.is_dir() and not place.is_symlink():
                pending.append(place)
            else:
                yield place


def _have(folder: Path, entry: FileEntry) -> bool:
    _require_plain(folder, entry.path)
    file = folder / entry.path
    if not file.exists():
        return False
    if not is_intact(file, entry):
        raise _occupied(file)
    return True


def _require_plain(folder: Path, path: str) -> None:
    """Refuse a link, or anything but a folder, on the way to a file, and anything but a file in its place."""
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
        f"{str(file)!r} is there already with other bytes, or as something else than a plain file or folder",
        code="invalid_path",
        remedy="download into an empty folder, or move that file away",
        field="folder",
        value=str(file),
    )
