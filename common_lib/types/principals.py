"""Types of principals, their grants and their tokens."""

from typing import Annotated

from pydantic import Field

from common_lib.rules import names
from common_lib.rules.access import MAX_TOKEN_DAYS, PrincipalKind, Role, check_grants
from common_lib.rules.fields import Moment, ShortText
from common_lib.rules.names import check_new_principal_name
from common_lib.types.base import ModelPattern, PrincipalName, Reason, RequestModel, Revision, Value

TokenId = Annotated[str, Field(pattern=names.TOKEN_ID)]


class Grant(RequestModel):
    """A role for all models whose name matches a pattern: a name, a prefix followed by `*`, or `*` for all models."""

    role: Role
    models: ModelPattern


class Principal(Value):
    """A human or a service that can use the registry."""

    name: PrincipalName
    kind: PrincipalKind
    grants: list[Grant]
    revision: Revision
    created_by: ShortText
    created_at: Moment
    updated_at: Moment


class Token(Value):
    """A token without its secret; the registry stores only the SHA-256 of the secret."""

    id: TokenId
    principal: PrincipalName
    created_by: ShortText
    created_at: Moment
    expires_at: Moment
    revoked_at: Moment | None


class IssuedToken(Value):
    """A new token with its secret. The secret is returned only once; a repeated request returns null instead."""

    token: Token
    secret: Annotated[str | None, Field(repr=False)]


class CreatePrincipal(RequestModel):
    """The request to create a principal."""

    name: PrincipalName
    kind: PrincipalKind
    grants: list[Grant]

    def check_rules(self) -> None:
        """Check the name and the grants."""
        check_new_principal_name(self.name)
        check_grants([(grant.role, grant.models) for grant in self.grants])


class UpdatePrincipal(RequestModel):
    """The request to replace the grants of a principal; a forced change needs a reason."""

    grants: list[Grant]
    reason: Reason = ""

    def check_rules(self) -> None:
        """Check the grants."""
        check_grants([(grant.role, grant.models) for grant in self.grants])


class CreateToken(RequestModel):
    """The request for a token that is valid for `valid_days` days."""

    valid_days: Annotated[int, Field(ge=1, le=MAX_TOKEN_DAYS)] = 90
