"""Types of versions. Only the stage, the tags and the description of a version can change."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from common_lib.rules import signatures
from common_lib.rules.lifecycle import ModelStage
from registry_server.domain.artifacts import FileEntry
from registry_server.domain.base import (
    Count,
    Description,
    Digest,
    ModelName,
    Reason,
    Request,
    Revision,
    Scalar,
    ShortText,
    Time,
    Tombstone,
    VersionNumber,
)

Dimension = Annotated[int, Meta(ge=signatures.ANY_LENGTH, le=signatures.MAX_LENGTH)]


class Field(Struct, frozen=True, forbid_unknown_fields=True):
    """One input or output of a model; in `shape`, -1 stands for any length."""

    name: ShortText
    dtype: ShortText
    shape: Annotated[list[Dimension], Meta(max_length=signatures.MAX_DIMENSIONS)] = []


class Signature(Struct, frozen=True, forbid_unknown_fields=True):
    """Inputs and outputs of a model."""

    inputs: Annotated[list[Field], Meta(max_length=signatures.MAX_FIELDS)]
    outputs: Annotated[list[Field], Meta(max_length=signatures.MAX_FIELDS)]


class Lineage(Struct, frozen=True, forbid_unknown_fields=True):
    """Origin of a version; `parent` is a reference to the version from which it was derived."""

    run: ShortText | None = None
    code_commit: ShortText | None = None
    data_digest: ShortText | None = None
    parent: ShortText | None = None


class Recall(Struct, frozen=True):
    """When, by whom and why a version was blocked for everyone."""

    at: Time
    by: ShortText
    reason: Reason


class ModelVersion(Struct, frozen=True):
    """One version of a model; `digest` is the digest of its manifest, `size` the total bytes of its files."""

    model: ModelName
    version: VersionNumber
    stage: ModelStage
    digest: Digest
    size: Count
    file_count: Count
    framework: ShortText
    description: Description
    parameters: dict[str, Scalar]
    metrics: dict[str, float]
    signature: Signature | None
    lineage: Lineage | None
    tags: dict[str, str]
    revision: Revision
    created_by: ShortText
    created_at: Time
    updated_at: Time
    tombstone: Tombstone | None
    recall: Recall | None = None

    @property
    def etag(self) -> str:
        """The ETag: the revision, which If-Match is compared with, and the version number."""
        return f'"{self.revision}.{self.version}"'


class CreateVersion(Request, frozen=True):
    """The request to create the next version from files whose bytes are already stored."""

    files: list[FileEntry]
    framework: ShortText
    description: Description = ""
    parameters: dict[str, Scalar] = {}
    metrics: dict[str, float] = {}
    signature: Signature | None = None
    lineage: Lineage | None = None
    tags: dict[str, str] = {}


class UpdateVersion(Request, frozen=True):
    """The request to change a version; each given field replaces the whole stored value.

    A forced change needs a reason.
    """

    description: Description | UnsetType = UNSET
    tags: dict[str, str] | UnsetType = UNSET
    reason: Reason = ""


class TransitionRequest(Request, frozen=True):
    """The request to move a version to another stage.

    For a move to production, `replacing` is the version that is in production now, null if production is empty. With
    `override` the version is promoted even if it does not meet the model's policy.
    """

    to: ModelStage
    reason: Reason = ""
    replacing: VersionNumber | None = None
    override: bool = False


class RecallRequest(Request, frozen=True):
    """The request to block a version for everyone (recall), or to lift the block (reinstate)."""

    reason: Reason


class VersionFilter(Struct, frozen=True):
    """Conditions that the versions in a list must meet."""

    stage: ModelStage | None = None
    tombstoned: bool = False
