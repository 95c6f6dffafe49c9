"""A fetched version with its local folder."""

from dataclasses import dataclass
from pathlib import Path

from common_lib.staleness import Provenance
from common_lib.types.artifacts import Manifest
from common_lib.types.versions import ModelVersion


@dataclass(frozen=True, slots=True)
class LocalVersion(Provenance):
    """A version, the folder of the local cache with its verified, read-only files, and where the answer came from."""

    version: ModelVersion
    manifest: Manifest
    folder: Path
