"""What a fetch gives: a version and the local folder in which its verified files stand."""

from dataclasses import dataclass
from pathlib import Path

from common_lib.staleness import Known
from common_lib.values import Manifest, ModelVersion


@dataclass(frozen=True, slots=True)
class LocalVersion(Known):
    """A version whose files stand, verified and read-only, in a folder of the local cache; and how it is known."""

    version: ModelVersion
    manifest: Manifest
    folder: Path
