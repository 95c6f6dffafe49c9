"""Types of registered models, and of the requests that create and change them."""

from pydantic import Field

from common_lib.rules.fields import Count, ModelName, Moment, Scalar, ShortText, VersionNumber
from common_lib.rules.lifecycle import ModelType
from common_lib.types.base import Description, Reason, RequestModel, Revision, Tombstone, Value


class RegisteredModel(Value):
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
    created_at: Moment
    updated_at: Moment
    tombstone: Tombstone | None


class CreateModel(RequestModel):
    """The request to create a registered model. Without `owner`, the caller is the owner."""

    name: ModelName
    type: ModelType
    owner: ShortText | None = None
    description: Description = ""
    tags: dict[str, str] = {}
    metadata: dict[str, Scalar] = {}


class UpdateModel(RequestModel):
    """The request to change a registered model; each given field replaces the whole stored value.

    A forced change needs a reason.
    """

    # A factory keeps the default out of the JSON Schema: fields that are not given are not sent.
    owner: ShortText = Field(default_factory=str)
    description: Description = Field(default_factory=str)
    tags: dict[str, str] = Field(default_factory=dict)
    metadata: dict[str, Scalar] = Field(default_factory=dict)
    reason: Reason = ""
