"""Types of versions. Only the stage, the tags and the description of a version can change."""

from typing import Annotated

from pydantic import Field

from common_lib.rules import signatures
from common_lib.rules.fields import Count, ModelName, Moment, Scalar, ShortText, VersionNumber
from common_lib.rules.lifecycle import ModelStage
from common_lib.rules.manifest import check_files
from common_lib.types.artifacts import FileEntry
from common_lib.types.base import Description, Digest, Reason, RequestModel, Revision, Tombstone, Value

Dimension = Annotated[int, Field(ge=signatures.ANY_LENGTH, le=signatures.MAX_LENGTH)]


class FieldSpec(RequestModel):
    """One input or output of a model; in `shape`, -1 stands for any length."""

    name: ShortText
    dtype: ShortText
    shape: Annotated[list[Dimension], Field(max_length=signatures.MAX_DIMENSIONS)] = []


class Signature(RequestModel):
    """Inputs and outputs of a model."""

    inputs: Annotated[list[FieldSpec], Field(max_length=signatures.MAX_FIELDS)]
    outputs: Annotated[list[FieldSpec], Field(max_length=signatures.MAX_FIELDS)]


class Lineage(RequestModel):
    """Origin of a version; `parent` is a reference to the version from which it was derived."""

    run: ShortText | None = None
    code_commit: ShortText | None = None
    data_digest: ShortText | None = None
    parent: ShortText | None = None


class Recall(Value):
    """When, by whom and why a version was blocked for everyone."""

    at: Moment
    by: ShortText
    reason: Reason


class ModelVersion(Value):
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
    created_at: Moment
    updated_at: Moment
    tombstone: Tombstone | None
    recall: Recall | None = None

    @property
    def reference(self) -> str:
        """Reference with the version number, which never refers to another version."""
        return f"models:/{self.model}/{self.version}"


class CreateVersion(RequestModel):
    """The request to create the next version from files whose bytes are already stored."""

    files: list[FileEntry]
    framework: ShortText
    description: Description = ""
    parameters: dict[str, Scalar] = {}
    metrics: dict[str, float] = {}
    signature: Signature | None = None
    lineage: Lineage | None = None
    tags: dict[str, str] = {}

    def check_rules(self) -> None:
        """Check the files, the signature, and the limits of all other fields."""
        check_files([file.model_dump() for file in self.files])
        if self.signature is not None:
            signatures.check_signature(self.signature.model_dump())
        super().check_rules()


class UpdateVersion(RequestModel):
    """The request to change a version; each given field replaces the whole stored value.

    A forced change needs a reason.
    """

    # A factory keeps the default out of the JSON Schema: fields that are not given are not sent.
    description: Description = Field(default_factory=str)
    tags: dict[str, str] = Field(default_factory=dict)
    reason: Reason = ""
