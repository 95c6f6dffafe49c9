"""What a fetch gives: a version and the local folder in which its verified files stand."""

from dataclasses import dataclass
from pathlib import Path

from common_lib.staleness import Provenance
from common_lib.types.artifacts import Manifest
from common_lib.types.versions import ModelVersion


@dataclass(frozen=True, slots=True)
class LocalVersion(Provenance):
    """A version whose files stand, verified and read-only, in a folder of the local cache; and how it is known."""

    version: ModelVersion
    manifest: Manifest
    folder: Path
