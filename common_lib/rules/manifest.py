"""The manifest: the list of a version's files, whose digest is the identity of the version.

Each file is a mapping with the keys path, size, sha256 and media_type.
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
    """Check the files of a manifest.

    There must be 1–10,000 files, no two paths that differ only in case, and no path that is also the folder of another.

    Raises:
        RuleViolation: `invalid_manifest`, or the code of the rule that a path or digest breaks.
    """
    if not 1 <= len(files) <= MAX_FILES:
        raise RuleViolation(
            Code.INVALID_MANIFEST,
            field="files",
            value=len(files),
            why=f"a version must have between 1 and {MAX_FILES} files",
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
                why=f"this is not a valid size in bytes of {file['path']}",
                remedy="send the length of the file in bytes",
            )
    seen: dict[str, str] = {}
    for file in files:
        if file["path"].lower() in seen:
            raise RuleViolation(
                Code.INVALID_MANIFEST,
                field="path",
                value=file["path"],
                why=f"the manifest already contains this path as {seen[file['path'].lower()]!r}",
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
                    why=f"this path is a file, but {original!r} needs a folder with the same path",
                    remedy="rename the file or the folder",
                )
            folder = folder.rpartition("/")[0]


def document(files: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the canonical JSON of a manifest, with the files sorted by path."""
    ordered = sorted(files, key=lambda file: file["path"].encode())
    return canonical.encode({"files": ordered, "schema": "mrg-manifest/1"})


def digest(files: Sequence[Mapping[str, Any]]) -> str:
    """Return the digest of a manifest, which is the identity of its version.

    >>> empty = hashlib.sha256(b"").hexdigest()
    >>> file = {"path": "model.skops", "size": 0, "sha256": empty, "media_type": "application/octet-stream"}
    >>> digest([file])[:20]
    'sha256:aeca71b4473a1'
    """
    return digest_of(document(files))


def digest_of(document: bytes) -> str:
    """Return `sha256:` and the SHA-256 of the canonical bytes of a manifest."""
    return f"sha256:{hashlib.sha256(document).hexdigest()}"
