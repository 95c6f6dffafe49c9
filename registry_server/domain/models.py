"""Types of registered models, and of the requests that create and change them."""

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
    """A named model. Its versions have the numbers 1, 2, 3, … without gaps."""

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
        """The ETag: the revision, which If-Match is compared with, the latest version and the version in production."""
        return f'"{self.revision}.{self.latest_version}.{self.production_version or 0}"'


class CreateModel(Request, frozen=True):
    """The request to create a registered model. Without `owner`, the caller is the owner."""

    name: ModelName
    type: ModelType
    owner: ShortText | None = None
    description: Description = ""
    tags: dict[str, str] = {}
    metadata: dict[str, Scalar] = {}


class UpdateModel(Request, frozen=True):
    """The request to change a registered model; each given field replaces the whole stored value.

    A forced change needs a reason.
    """

    owner: ShortText | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    tags: dict[str, str] | UnsetType = UNSET
    metadata: dict[str, Scalar] | UnsetType = UNSET
    reason: Reason = ""


class ModelFilter(Struct, frozen=True):
    """Conditions of a search for models; a model is found if it meets all given conditions.

    `visible` contains lower-case patterns of the names that the caller may read; if it is empty, they may read all.
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
