"""The manifest: the list of a version's files, whose digest is the identity of the version.

A file is the mapping that its JSON form has: path, size, sha256 and media_type.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from common_lib.rules import canonical, names
from common_lib.rules.codes import Code
from common_lib.rules.violation import RuleViolation

MAX_FILES: Final = 10_000
_MAX_SIZE: Final = 2**53 - 1


def check_files(files: Sequence[Mapping[str, Any]]) -> None:
    """Check a manifest: 1–10,000 files, no paths that differ only by case, and no path that is a folder of another.

    Raises:
        RuleViolation: `invalid_manifest`, or the rule of the name that is broken.
    """
    if not 1 <= len(files) <= MAX_FILES:
        raise RuleViolation(
            Code.INVALID_MANIFEST,
            field="files",
            value=len(files),
            why=f"a version has between 1 and {MAX_FILES} files",
            remedy="add a file, or pack many small files into fewer large ones",
        )
    for file in files:
        names.check_artifact_path(file["path"])
        names.check_sha256(file["sha256"])
        if not 0 <= file["size"] <= _MAX_SIZE:
            raise RuleViolation(
                Code.INVALID_MANIFEST,
                field="size",
                value=file["size"],
                why=f"is not a valid size of {file['path']} in bytes",
                remedy="send the length of the file in bytes",
            )
    seen: dict[str, str] = {}
    for file in files:
        if file["path"].lower() in seen:
            raise RuleViolation(
                Code.INVALID_MANIFEST,
                field="path",
                value=file["path"],
                why=f"is in the manifest twice, first as {seen[file['path'].lower()]!r}",
                remedy="give each file its own path; paths that differ only in upper and lower case are the same",
            )
        seen[file["path"].lower()] = file["path"]
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


def document(files: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the canonical bytes of a manifest: files sorted by path, RFC 8785 JSON."""
    ordered = sorted(files, key=lambda file: file["path"].encode())
    return canonical.encode({"files": ordered, "schema": "mrg-manifest/1"})


def digest(files: Sequence[Mapping[str, Any]]) -> str:
    """Return the identity of a version: `sha256:` and the SHA-256 of the manifest's canonical bytes.

    >>> empty = hashlib.sha256(b"").hexdigest()
    >>> file = {"path": "model.skops", "size": 0, "sha256": empty, "media_type": "application/octet-stream"}
    >>> digest([file])[:20]
    'sha256:aeca71b4473a1'
    """
    return digest_of(document(files))


def digest_of(document: bytes) -> str:
    """Return the digest of canonical bytes."""
    return f"sha256:{hashlib.sha256(document).hexdigest()}"
