"""Flows that move bytes: hash, send what is missing, fetch, verify, and only then give a file its name."""

import hashlib
import mimetypes
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from common_lib.errors import BlobNotFound, DigestMismatch, InvalidRequest
from common_lib.operations import artifacts, versions
from common_lib.operations.base import Blocking, Flow, checked
from common_lib.rules.manifest import File, check_files, digest
from common_lib.rules.names import check_artifact_path
from common_lib.values import FileEntry, Lineage, Manifest, ModelVersion, Scalar, Signature

_CHUNK = 1024 * 1024
_PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial")


def register(
    name: str,
    path: str | os.PathLike[str],
    *,
    framework: str,
    description: str | None = None,
    parameters: Mapping[str, Scalar] | None = None,
    metrics: Mapping[str, float] | None = None,
    signature: Signature | None = None,
    lineage: Lineage | None = None,
    tags: Mapping[str, str] | None = None,
) -> Flow[ModelVersion]:
    """The next version of a model out of a local file or a whole folder; bytes that are there are not sent again.

    A version never exists without all its bytes: they are uploaded first, and the registry checks each digest.

    Raises:
        InvalidRequest: there is no such file, or its path within the folder is not allowed.
        ModelNotFound: the model was not created before.
    """
    source = _local("path", path)
    files: list[tuple[Path, FileEntry]] = yield Blocking(lambda: _described(source))
    sent: set[str] = set()
    for file, entry in files:
        if entry.sha256 in sent:
            continue
        sent.add(entry.sha256)
        try:
            yield artifacts.find_blob(entry.sha256)
        except BlobNotFound:
            yield artifacts.put_blob(entry.sha256, file)
    version: ModelVersion = yield versions.create(
        name,
        [entry for _, entry in files],
        framework=framework,
        description=description,
        parameters=parameters,
        metrics=metrics,
        signature=signature,
        lineage=lineage,
        tags=tags,
    )
    return version


def download(reference: str, folder: str | os.PathLike[str]) -> Flow[ModelVersion]:
    """The version that a reference means, with all its files in `folder`, each verified before it got its name.

    When it returns, `folder` holds the files of the version and no others. A file that is there already with the right
    bytes is kept; any other file is refused before a byte arrives, and never replaced or removed.

    Raises:
        DigestMismatch: bytes are not what the manifest says; nothing of that file is kept.
        InvalidRequest: `folder` holds a file that is not of this version, such as one of another version.
    """
    target = _local("folder", folder)
    version: ModelVersion = yield versions.resolve(reference)
    manifest: Manifest = yield versions.manifest(version.model, version.version)
    _check_identity(version, manifest)
    missing: list[FileEntry] = yield Blocking(lambda: _missing(target, manifest))
    for entry in missing:
        arriving = yield Blocking(lambda entry=entry: Arriving(target / entry.path, entry))  # type: ignore[misc]
        try:
            yield artifacts.get_file(version.model, version.version, entry.path, arriving)
            yield Blocking(arriving.publish)
        finally:
            arriving.discard()
    # Somebody else may have filled the folder meanwhile.
    yield Blocking(lambda: _refuse_strangers(target, manifest))
    return version


class Arriving:
    """A file on its way in: hashed while it comes, beside its place, under a name of its own until it is right."""

    def __init__(self, final: Path, entry: FileEntry) -> None:
        self._final = final
        self._entry = entry
        self._size = 0
        final.parent.mkdir(parents=True, exist_ok=True)
        self._partial = final.parent / f".{uuid.uuid4().hex}.partial"
        self._file: BinaryIO = self._partial.open("xb")
        self._hash = hashlib.sha256()

    def begin(self) -> None:
        """Forget what an earlier attempt brought."""
        self._file.seek(0)
        self._file.truncate()
        self._size = 0
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes, but no more than were announced: an endless answer must not fill the disk."""
        self._size += len(chunk)
        if self._size > self._entry.size:
            actual = f"more than {self._entry.size} {'byte' if self._entry.size == 1 else 'bytes'}"
            raise DigestMismatch(self._entry.path, expected=self._entry.sha256, actual=actual)
        self._hash.update(chunk)
        self._file.write(chunk)

    def publish(self) -> None:
        """Give the file its name, if its bytes are right.

        Raises:
            DigestMismatch: they are not.
        """
        actual = self._hash.hexdigest()
        if actual != self._entry.sha256:
            raise DigestMismatch(self._entry.path, expected=self._entry.sha256, actual=actual)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        try:
            self._final.hardlink_to(self._partial)
        except FileExistsError:
            if not _same(self._final, self._entry):
                raise _occupied(self._final) from None

    def discard(self) -> None:
        """Remove the partial file, published or not."""
        self._file.close()
        self._partial.unlink(missing_ok=True)


def _check_identity(version: ModelVersion, manifest: Manifest) -> None:
    # The server is not trusted: neither to name paths on this machine nor to say which files a version has.
    files = [File(entry.path, entry.size, entry.sha256, entry.media_type) for entry in manifest.files]
    checked(check_files, files)
    actual = digest(files)
    if actual != version.digest:
        raise DigestMismatch(f"the manifest of {version.reference}", expected=version.digest, actual=actual)


def _local(field: str, path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path)
    except TypeError:
        raise InvalidRequest(
            f"{path!r:.200} is no path", code="invalid_path", remedy="pass a path", field=field, value=path
        ) from None


def _described(path: Path) -> list[tuple[Path, FileEntry]]:
    if path.is_file():
        return [(path, _entry(path, path.name))]
    if not path.is_dir():
        raise InvalidRequest(
            f"there is no file or folder {str(path)!r}",
            code="invalid_path",
            remedy="give the path of what was trained",
            field="path",
            value=str(path),
        )
    found = [(file, _entry(file, file.relative_to(path).as_posix())) for file in sorted(_walk(path))]
    if not found:
        raise InvalidRequest(
            f"the folder {str(path)!r} is empty",
            code="invalid_manifest",
            remedy="a version needs at least one file",
            field="path",
            value=str(path),
        )
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for place in folder.iterdir():
        if place.is_symlink():
            # What a link points at may change or lie outside; a version is made of files.
            raise InvalidRequest(
                f"{str(place)!r} is a symbolic link",
                code="invalid_path",
                remedy="copy the file it points at into the folder",
                field="path",
                value=str(place),
            )
        if place.is_dir():
            yield from _walk(place)
        elif place.is_file():
            yield place
        else:
            raise InvalidRequest(
                f"{str(place)!r} is neither a file nor a folder",
                code="invalid_path",
                remedy="move it out of the folder",
                field="path",
                value=str(place),
            )


def _entry(file: Path, path: str) -> FileEntry:
    checked(check_artifact_path, path)
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        size = stream.tell()
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return FileEntry(path=path, size=size, sha256=sha256, media_type=media_type)


def _missing(folder: Path, manifest: Manifest) -> list[FileEntry]:
    """The files that are still to fetch into a folder that holds nothing but files of this version."""
    if folder.exists() and not folder.is_dir():
        raise _occupied(folder)
    missing = [entry for entry in manifest.files if not _have(folder, entry)]
    _refuse_strangers(folder, manifest)
    return missing


def _refuse_strangers(folder: Path, manifest: Manifest) -> None:
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
    if folder.exists():
        for place in folder.iterdir():
            if place.is_dir() and not place.is_symlink():
                yield from _entries(place)
            else:
                yield place


def _have(folder: Path, entry: FileEntry) -> bool:
    _require_plain(folder, entry.path)
    file = folder / entry.path
    if not file.exists():
        return False
    if not _same(file, entry):
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


def _same(file: Path, entry: FileEntry) -> bool:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == entry.sha256


def _occupied(file: Path) -> InvalidRequest:
    return InvalidRequest(
        f"{str(file)!r} is there already with other bytes, or as something else than a plain file or folder",
        code="invalid_path",
        remedy="download into an empty folder, or move that file away",
        field="folder",
        value=str(file),
    )
