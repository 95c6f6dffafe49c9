"""Versions of models: immutable files and facts, with a stage, tags and a description that may change."""

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
    """One input or output of a model: its name, element type and shape (-1 for any length)."""

    name: ShortText
    dtype: ShortText
    shape: Annotated[list[Dimension], Field(max_length=signatures.MAX_DIMENSIONS)] = []


class Signature(RequestModel):
    """Inputs and outputs of a model."""

    inputs: Annotated[list[FieldSpec], Field(max_length=signatures.MAX_FIELDS)]
    outputs: Annotated[list[FieldSpec], Field(max_length=signatures.MAX_FIELDS)]


class Lineage(RequestModel):
    """Origin of a version; `parent` is the reference of the version that it was derived from."""

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
    """One version of a model; `digest` is the identity of its manifest, `size` the bytes of all its files."""

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
        """Reference that always means this version."""
        return f"models:/{self.model}/{self.version}"


class CreateVersion(RequestModel):
    """The request to create the next version out of files whose bytes are already stored."""

    files: list[FileEntry]
    framework: ShortText
    description: Description = ""
    parameters: dict[str, Scalar] = {}
    metrics: dict[str, float] = {}
    signature: Signature | None = None
    lineage: Lineage | None = None
    tags: dict[str, str] = {}

    def check_rules(self) -> None:
        """Check the files and the signature, and the facts as every request does."""
        check_files([file.model_dump() for file in self.files])
        if self.signature is not None:
            signatures.check_signature(self.signature.model_dump())
        super().check_rules()


class UpdateVersion(RequestModel):
    """The request to change a version; each given field replaces the stored value as a whole.

    A forced change needs a reason.
    """

    # A factory keeps the default out of the JSON Schema: fields that are not given are not sent.
    description: Description = Field(default_factory=str)
    tags: dict[str, str] = Field(default_factory=dict)
    reason: Reason = ""
