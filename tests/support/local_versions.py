"""Local versions made without a registry: a folder of files, their manifest and its digest."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from common_lib.artifacts.local_version import LocalVersion
from common_lib.rules import manifest
from common_lib.rules.formats import media_type_of
from common_lib.rules.lifecycle import ModelStage
from common_lib.types.artifacts import FileEntry, Manifest
from common_lib.types.versions import ModelVersion


def make_local_version(
    folder: Path, files: Mapping[str, bytes], types: Mapping[str, str] | None = None
) -> LocalVersion:
    """Write these files and return them as a version; `types` are media types that override those of the names."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    entries = [
        FileEntry(
            path=path,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            media_type=(types or {}).get(path) or media_type_of(path) or "application/octet-stream",
        )
        for path, content in sorted(files.items())
    ]
    digest = manifest.digest([entry.model_dump() for entry in entries])
    version = ModelVersion(
        model="eurusd",
        version=1,
        stage=ModelStage.DEVELOPMENT,
        digest=digest,
        size=sum(map(len, files.values())),
        file_count=len(files),
        framework="test",
        description="",
        parameters={},
        metrics={},
        signature=None,
        lineage=None,
        tags={},
        revision=1,
        created_by="tester",
        created_at=datetime.now(UTC),
        updated_at=datetime.now(UTC),
        tombstone=None,
    )
    return LocalVersion(version, Manifest(digest=digest, files=entries), folder)
