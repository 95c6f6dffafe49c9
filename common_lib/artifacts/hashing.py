"""List and hash the local files that will be registered as a version."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common_lib.artifacts.progress import ProgressListener, ignore_progress
from common_lib.errors import InvalidRequest
from common_lib.operations.base import validate
from common_lib.own_files import name_path_in_errors
from common_lib.rules.formats import media_type_of
from common_lib.rules.manifest import MAX_FILES
from common_lib.rules.names import check_artifact_path
from common_lib.types.artifacts import FileEntry

# Files up to this size are sent in one request. Of larger ones at most this much is sent again after a lost connection.
PART_BYTES = 32 * 1024**2
_CHUNK = 1024**2


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A local file and its entry in the manifest, for an upload in parts.

    `prefixes` contains one digest for each part: the digest of all bytes from the start of the file to the part's end.
    """

    path: Path
    entry: FileEntry
    prefixes: tuple[str, ...]


def parse_local_path(field: str, path: str | os.PathLike[str]) -> Path:
    """Convert an argument to a Path.

    An empty or blank string is refused, because pathlib would convert it to the current folder. `Path("")` is accepted,
    because it equals `Path(".")`, which is a valid argument.

    Raises:
        InvalidRequest: the argument is not a path. The error contains `field`, the name of the argument.
    """
    with contextlib.suppress(TypeError):
        text: object = os.fspath(path)
        if isinstance(text, str) and text.strip() and "\0" not in text:
            return Path(path)
    raise InvalidRequest(
        f"{field} is {path!r:.200}, which is not a path",
        code="invalid_path",
        remedy="pass the path of a file or folder; '.' is the current folder",
        field=field,
        value=path,
    )


def hash_files(path: Path, report: ProgressListener = ignore_progress) -> list[LocalFile]:
    """Hash a file, or all files of a folder, and return them sorted by path.

    Raises:
        InvalidRequest: there are no files or too many files, a file is a link, or its path is not allowed in a version.
    """
    if path.is_file():
        return [_hash_file(path, path.name, report)]
    if not path.is_dir():
        raise _invalid_path(path, "is not a file or folder", "pass the path of the trained model")
    found = []
    for file in _walk(path):
        found.append(file)
        if len(found) > MAX_FILES:
            raise _invalid_path(
                path, f"contains more than {MAX_FILES} files", "pack small files into an archive", "invalid_manifest"
            )
    if not found:
        raise _invalid_path(path, "is an empty folder", "pass a folder with at least one file", "invalid_manifest")
    return [_hash_file(file, file.relative_to(path).as_posix(), report) for file in sorted(found)]


def total_size(path: Path) -> int:
    """Return the size in bytes of a file, or of all files in a folder; ignore links and unreadable subfolders."""
    if not path.is_dir():
        return path.stat().st_size if path.is_file() else 0
    total, pending = 0, [path]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def _walk(folder: Path) -> Iterator[Path]:
    pending = [folder]
    while pending:
        for place in pending.pop().iterdir():
            if place.is_symlink():
                # The target of a link may change or lie outside the folder; a version consists of files.
                raise _invalid_path(place, "is a symbolic link", "replace the link with a copy of its target")
            if place.is_dir():
                pending.append(place)
            elif place.is_file():
                yield place
            else:
                raise _invalid_path(place, "is neither a file nor a folder", "move it out of the folder")


def _hash_file(file: Path, path: str, report: ProgressListener) -> LocalFile:
    validate(check_artifact_path, path)
    digest, position, prefixes = hashlib.sha256(), 0, []
    with name_path_in_errors(file), file.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        buffer = memoryview(bytearray(min(_CHUNK, max(size, 1))))
        while length := stream.readinto(buffer):
            digest.update(buffer[:length])
            position += length
            if position % PART_BYTES == 0:
                prefixes.append(digest.hexdigest())
            report(path, position, max(size, position))
    sha256 = digest.hexdigest()
    if position % PART_BYTES or not prefixes:
        prefixes.append(sha256)
    # `mimetypes` depends on the machine's settings, and the same files must have the same manifest everywhere.
    media_type = media_type_of(path) or "application/octet-stream"
    entry = FileEntry(path=path, size=position, sha256=sha256, media_type=media_type)
    return LocalFile(file, entry, tuple(prefixes))


def _invalid_path(place: Path, why: str, remedy: str, code: str = "invalid_path") -> InvalidRequest:
    return InvalidRequest(f"{str(place)!r} {why}", code=code, remedy=remedy, field="path", value=str(place))
