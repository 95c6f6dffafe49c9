"""Types of principals, their grants and their tokens."""

from typing import Annotated

from msgspec import Meta, Struct

from common_lib.rules import names
from common_lib.rules.access import MAX_TOKEN_DAYS, PrincipalKind, Role
from registry_server.domain.base import ModelPattern, PrincipalName, Reason, Request, Revision, ShortText, Time


class Grant(Struct, frozen=True, forbid_unknown_fields=True):
    """A role for all models whose name matches a pattern: a name, a prefix followed by `*`, or `*` for all models."""

    role: Role
    models: ModelPattern

    def covers(self, name: str) -> bool:
        """Return whether the pattern matches the name of a model, without regard to upper and lower case."""
        pattern = self.models.lower()
        return name.lower().startswith(pattern[:-1]) if pattern.endswith("*") else name.lower() == pattern


class Principal(Struct, frozen=True):
    """A human or a service that can use the registry."""

    name: PrincipalName
    kind: PrincipalKind
    grants: list[Grant]
    revision: Revision
    created_by: ShortText
    created_at: Time
    updated_at: Time

    @property
    def etag(self) -> str:
        """The ETag, which contains the revision."""
        return f'"{self.revision}"'


class CreatePrincipal(Request, frozen=True):
    """The request to create a principal."""

    name: PrincipalName
    kind: PrincipalKind
    grants: list[Grant]


class UpdatePrincipal(Request, frozen=True):
    """The request to replace the grants of a principal; a forced change needs a reason."""

    grants: list[Grant]
    reason: Reason = ""


class Token(Struct, frozen=True):
    """A token without its secret; the registry stores only the SHA-256 of the secret."""

    id: Annotated[str, Meta(pattern=names.TOKEN_ID)]
    principal: PrincipalName
    created_by: ShortText
    created_at: Time
    expires_at: Time
    revoked_at: Time | None


class CreateToken(Request, frozen=True):
    """The request for a token that is valid for `valid_days` days."""

    valid_days: Annotated[int, Meta(ge=1, le=MAX_TOKEN_DAYS)] = 90


class IssuedToken(Struct, frozen=True):
    """A new token with its secret. The secret is returned only once; a repeated request returns null instead."""

    token: Token
    secret: str | None
