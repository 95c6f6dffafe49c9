"""The files of a version, and the blobs that contain the bytes of these files."""

from typing import Annotated

from pydantic import Field

from common_lib.rules import artifacts, names
from common_lib.rules.fields import Count, ModelName, Moment, Sha256, ShortText
from common_lib.rules.manifest import check_files, digest
from common_lib.types.base import Digest, RequestModel, Value

MediaType = Annotated[str, Field(pattern=names.MEDIA_TYPE, max_length=names.NAME_LENGTH)]


class FileEntry(RequestModel):
    """One file of a manifest: its path within the version, its size in bytes, its digest and media type."""

    path: Annotated[str, Field(max_length=names.PATH_LENGTH)]
    size: Count
    sha256: Sha256
    media_type: MediaType = "application/octet-stream"


class Manifest(Value):
    """The list of the files of a version, sorted by path, and the digest of this list."""

    digest: Digest
    files: list[FileEntry]

    def check_rules(self) -> None:
        """Check that the files form a valid manifest, and that no path leads out of the folder of the version.

        Raises:
            RuleViolation: a path, a size or a digest breaks a rule.
        """
        check_files([file.model_dump() for file in self.files])

    def compute_digest(self) -> str:
        """Compute the digest of the list of files; it must be equal to `digest`."""
        return digest([file.model_dump() for file in self.files])


class Blob(Value):
    """Stored bytes, identified by their SHA-256. A blob in quarantine is damaged and is not served."""

    sha256: Sha256
    size: Count
    created_by: ShortText
    created_at: Moment
    quarantined_at: Moment | None = None


class PresenceRequest(RequestModel):
    """The request to list missing blobs. `model` is the model whose next version will contain the blobs."""

    sha256: Annotated[list[Sha256], Field(max_length=artifacts.MAX_DIGESTS_PER_REQUEST)]
    model: ModelName | None = None


class Verification(Value):
    """The result of hashing the stored bytes of a blob; `sound` is true if they have the expected digest."""

    blob: Blob
    sound: bool
