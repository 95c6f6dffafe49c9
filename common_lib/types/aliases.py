"""Types of aliases, which are movable pointers to versions."""

from common_lib.rules.fields import ModelName, Moment, ShortText, VersionNumber
from common_lib.types.base import AliasName, Reason, RequestModel, Revision, Value


class Alias(Value):
    """A named pointer to a version of a model, which can be moved to another version."""

    model: ModelName
    alias: AliasName
    version: VersionNumber
    revision: Revision
    updated_by: ShortText
    updated_at: Moment


class SetAlias(RequestModel):
    """The request to point an alias at a version."""

    version: VersionNumber
    reason: Reason = ""
