"""Principals, their grants and tokens."""

from collections.abc import Iterable

from common_lib.operations.answers import about
from common_lib.operations.base import Operation, checked, given, one_of, path, query, reads, unsafe
from common_lib.rules.access import PrincipalKind
from common_lib.rules.names import check_principal_name, check_token_id
from common_lib.types.base import Page
from common_lib.types.principals import (
    CreatePrincipal,
    CreateToken,
    Grant,
    IssuedToken,
    Principal,
    Token,
    UpdatePrincipal,
)

_principal = reads(Principal)
_principals = reads(Page[Principal])
_token = reads(Token)
_tokens = reads(Page[Token])
_issued = reads(IssuedToken)


def whoami() -> Operation[Principal]:
    """The principal behind the token."""
    return Operation("GET", path("whoami"), _principal)


def get(name: str) -> Operation[Principal]:
    """The principal of that name.

    Raises:
        PrincipalNotFound: there is none.
    """
    target = path("principals", checked(check_principal_name, name))
    return Operation("GET", target, about(_principal, name=name))


def search(*, page_size: int = 100) -> Operation[Page[Principal]]:
    """All principals, by name, a page at a time."""
    return Operation("GET", path("principals"), _principals, query=query(limit=page_size))


def create(name: str, kind: PrincipalKind | str, grants: Iterable[Grant]) -> Operation[Principal]:
    """A new principal, a human or a service.

    Raises:
        AlreadyExists: the name is taken.
    """
    body = given(CreatePrincipal, name=name, kind=one_of("kind", PrincipalKind, kind), grants=list(grants))
    return Operation("POST", path("principals"), about(_principal, name=name), "write", body=body, headers=unsafe())


def update(
    name: str, grants: Iterable[Grant], *, revision: int | None = None, force: bool = False, reason: str = ""
) -> Operation[Principal]:
    """The principal with other grants; its tokens follow at once. `force` needs a reason."""
    target = path("principals", checked(check_principal_name, name))
    headers = unsafe(revision, force=force)
    body = given(UpdatePrincipal, grants=list(grants), reason=reason or None)
    return Operation("PATCH", target, about(_principal, name=name), "write", body=body, headers=headers)


def issue_token(name: str, *, valid_days: int = 90) -> Operation[IssuedToken]:
    """A token for a principal; its secret is in this answer and never again."""
    target = path("principals", checked(check_principal_name, name), "tokens")
    return Operation("POST", target, _issued, "write", body=given(CreateToken, valid_days=valid_days), headers=unsafe())


def tokens(*, page_size: int = 100) -> Operation[Page[Token]]:
    """All tokens without their secrets, a page at a time."""
    return Operation("GET", path("tokens"), _tokens, query=query(limit=page_size))


def revoke_token(token_id: str) -> Operation[Token]:
    """The token, ended.

    Raises:
        TokenNotFound: there is none of that id.
    """
    target = path("tokens", checked(check_token_id, token_id), "revoke")
    return Operation("POST", target, about(_token, id=token_id), "write", headers=unsafe())
