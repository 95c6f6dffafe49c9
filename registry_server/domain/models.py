"""Registered models."""

from msgspec import UNSET, Struct, UnsetType

from common_lib.rules.lifecycle import ModelStage, ModelType
from registry_server.domain.base import (
    Count,
    Description,
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


class RegisteredModel(Struct, frozen=True):
    """A named model; its versions are numbered 1, 2, 3 … without gaps."""

    name: ModelName
    type: ModelType
    owner: ShortText
    description: Description
    tags: dict[str, str]
    metadata: dict[str, Scalar]
    latest_version: Count
    production_version: VersionNumber | None
    revision: Revision
    created_by: ShortText
    created_at: Time
    updated_at: Time
    tombstone: Tombstone | None

    @property
    def etag(self) -> str:
        """The ETag: the revision, which If-Match compares, and the numbers that change without a new revision."""
        return f'"{self.revision}.{self.latest_version}.{self.production_version or 0}"'


class CreateModel(Request, frozen=True):
    """The request to create a registered model; without `owner` the caller owns the model."""

    name: ModelName
    type: ModelType
    owner: ShortText | None = None
    description: Description = ""
    tags: dict[str, str] = {}
    metadata: dict[str, Scalar] = {}


class UpdateModel(Request, frozen=True):
    """The request to change a registered model; each given field replaces the stored value as a whole.

    A forced change needs a reason.
    """

    owner: ShortText | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    tags: dict[str, str] | UnsetType = UNSET
    metadata: dict[str, Scalar] | UnsetType = UNSET
    reason: Reason = ""


class ModelFilter(Struct, frozen=True):
    """Conditions of a search of models; a model must fulfil all that are given.

    `visible` holds the patterns of the names that the caller may read, in lower case; empty stands for all names.
    """

    type: ModelType | None = None
    stage: ModelStage | None = None
    tags: tuple[tuple[str, str], ...] = ()
    owner: str | None = None
    prefix: str | None = None
    created_from: Time | None = None
    created_before: Time | None = None
    tombstoned: bool = False
    visible: tuple[str, ...] = ()
