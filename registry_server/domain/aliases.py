"""Types of aliases, which are movable pointers to versions."""

from msgspec import Struct

from registry_server.domain.base import AliasName, ModelName, Reason, Request, Revision, ShortText, Time, VersionNumber


class Alias(Struct, frozen=True):
    """A named pointer to a version of a model, which can be moved to another version."""

    model: ModelName
    alias: AliasName
    version: VersionNumber
    revision: Revision
    updated_by: ShortText
    updated_at: Time

    @property
    def etag(self) -> str:
        """The ETag, which contains the revision."""
        return f'"{self.revision}"'


class SetAlias(Request, frozen=True):
    """The request to point an alias at a version."""

    version: VersionNumber
    reason: Reason = ""
