"""A version is its bytes: the manifest lists them, its digest is their identity."""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from common_lib.rules import canonical, names
from common_lib.rules.codes import Code
from common_lib.rules.violation import RuleViolation

MAX_FILES: Final = 10_000
_MAX_SIZE: Final = 2**53 - 1


class File(NamedTuple):
    """One file of a version: where it stands, how many bytes, which bytes, and what they are."""

    path: str
    size: int
    sha256: str
    media_type: str


def check_files(files: Sequence[File]) -> None:
    """A manifest has 1–10,000 files; no two paths collide, also not by case, and no path is a folder of another."""
    if not 1 <= len(files) <= MAX_FILES:
        raise RuleViolation(
            Code.INVALID_MANIFEST,
            field="files",
            value=len(files),
            why=f"a version has between 1 and {MAX_FILES} files",
            remedy="add a file, or pack many small files into fewer large ones",
        )
    for file in files:
        names.check_artifact_path(file.path)
        names.check_sha256(file.sha256)
        if not 0 <= file.size <= _MAX_SIZE:
            raise RuleViolation(
                Code.INVALID_MANIFEST,
                field="size",
                value=file.size,
                why=f"is not a valid size of {file.path} in bytes",
                remedy="send the length of the file in bytes",
            )
    seen: dict[str, str] = {}
    for file in files:
        if file.path.lower() in seen:
            raise RuleViolation(
                Code.INVALID_MANIFEST,
                field="path",
                value=file.path,
                why=f"is in the manifest twice, first as {seen[file.path.lower()]!r}",
                remedy="give each file its own path; paths that differ only in upper and lower case are the same",
            )
        seen[file.path.lower()] = file.path
    for path, original in seen.items():
        folder = path.rpartition("/")[0]
        while folder:
            if folder in seen:
                raise RuleViolation(
                    Code.INVALID_MANIFEST,
                    field="path",
                    value=seen[folder],
                    why=f"is a file, but also the folder of {original!r}",
                    remedy="rename one of them",
                )
            folder = folder.rpartition("/")[0]


def document(files: Sequence[File]) -> bytes:
    """The canonical bytes of a manifest: files sorted by path, RFC 8785 JSON."""
    ordered = sorted(files, key=lambda file: file.path.encode())
    return canonical.encode({"files": [file._asdict() for file in ordered], "schema": "mrg-manifest/1"})


def digest(files: Sequence[File]) -> str:
    """The identity of a version: `sha256:` and the SHA-256 of the manifest's canonical bytes.

    >>> digest([File("model.skops", 0, hashlib.sha256(b"").hexdigest(), "application/octet-stream")])[:20]
    'sha256:aeca71b4473a1'
    """
    return digest_of(document(files))


def digest_of(document: bytes) -> str:
    """The same, of canonical bytes that are there already."""
    return f"sha256:{hashlib.sha256(document).hexdigest()}"
