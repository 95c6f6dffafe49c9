"""A fetched version with its local folder."""

from dataclasses import dataclass
from pathlib import Path

from common_lib.staleness import Provenance
from common_lib.types.artifacts import Manifest
from common_lib.types.versions import ModelVersion


@dataclass(frozen=True, slots=True)
class LocalVersion(Provenance):
    """A version, the cache folder with its verified files, and the source and age of the registry's answer."""

    version: ModelVersion
    manifest: Manifest
    folder: Path
