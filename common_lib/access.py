"""Principals, grants and tokens: who the registry knows."""

from typing import Annotated

from pydantic import Field

from common_lib.rules import names
from common_lib.rules.access import MAX_TOKEN_DAYS, PrincipalKind, Role, check_grants
from common_lib.rules.names import check_new_principal_name
from common_lib.values import Given, ModelPattern, Moment, PrincipalName, Reason, Revision, ShortText, Value

TokenId = Annotated[str, Field(pattern=names.TOKEN_ID)]


class Grant(Given):
    """A role on the models whose name fits the pattern: a name, a prefix followed by `*`, or `*` for all."""

    role: Role
    models: ModelPattern


class Principal(Value):
    """A human or a service that the registry knows."""

    name: PrincipalName
    kind: PrincipalKind
    grants: list[Grant]
    revision: Revision
    created_by: ShortText
    created_at: Moment
    updated_at: Moment


class Token(Value):
    """A token without its secret; the registry keeps only the SHA-256 of the secret."""

    id: TokenId
    principal: PrincipalName
    created_by: ShortText
    created_at: Moment
    expires_at: Moment
    revoked_at: Moment | None


class IssuedToken(Value):
    """A token with its secret, which is shown this once: a repeated request is answered with null."""

    token: Token
    secret: Annotated[str | None, Field(repr=False)]


class CreatePrincipal(Given):
    """The request to make a principal known."""

    name: PrincipalName
    kind: PrincipalKind
    grants: list[Grant]

    def keep_rules(self) -> None:
        """Check the name and the grants."""
        check_new_principal_name(self.name)
        check_grants(self.grants)


class UpdatePrincipal(Given):
    """The request to replace the grants of a principal; by force it needs a reason."""

    grants: list[Grant]
    reason: Reason = ""

    def keep_rules(self) -> None:
        """Check the grants."""
        check_grants(self.grants)


class CreateToken(Given):
    """The request for a token that is valid for so many days."""

    valid_days: Annotated[int, Field(ge=1, le=MAX_TOKEN_DAYS)] = 90
