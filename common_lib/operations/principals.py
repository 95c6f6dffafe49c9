"""Operations on principals, their grants and their tokens."""

from collections.abc import Iterable

from common_lib.operations.answers import about
from common_lib.operations.base import (
    Operation,
    json_reader,
    one_of,
    path,
    query,
    request_body,
    validate,
    write_headers,
)
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

_principal = json_reader(Principal)
_principals = json_reader(Page[Principal])
_token = json_reader(Token)
_tokens = json_reader(Page[Token])
_issued = json_reader(IssuedToken)


def whoami() -> Operation[Principal]:
    """Get the principal to whom the token of the client belongs."""
    return Operation("GET", path("whoami"), _principal)


def get(name: str) -> Operation[Principal]:
    """Get a principal.

    Raises:
        PrincipalNotFound: the principal does not exist.
    """
    return Operation("GET", _path(name), about(_principal, name=name))


def search(*, page_size: int = 100) -> Operation[Page[Principal]]:
    """List all principals sorted by name, page by page."""
    return Operation("GET", path("principals"), _principals, query=query(limit=page_size))


def create(name: str, kind: PrincipalKind | str, grants: Iterable[Grant]) -> Operation[Principal]:
    """Create a principal, a human or a service.

    Raises:
        AlreadyExists: the name is already in use.
    """
    body = request_body(CreatePrincipal, name=name, kind=one_of("kind", PrincipalKind, kind), grants=list(grants))
    read = about(_principal, name=name)
    return Operation("POST", path("principals"), read, "write", body=body, headers=write_headers())


def update(
    name: str, grants: Iterable[Grant], *, revision: int | None = None, force: bool = False, reason: str = ""
) -> Operation[Principal]:
    """Replace the grants of a principal; the change applies to all its tokens immediately. `force` needs a reason."""
    headers = write_headers(revision, force=force)
    body = request_body(UpdatePrincipal, grants=list(grants), reason=reason or None)
    return Operation("PATCH", _path(name), about(_principal, name=name), "write", body=body, headers=headers)


def issue_token(name: str, *, valid_days: int = 90) -> Operation[IssuedToken]:
    """Issue a token for a principal; only this answer contains the secret."""
    body = request_body(CreateToken, valid_days=valid_days)
    return Operation("POST", _path(name, "tokens"), _issued, "write", body=body, headers=write_headers())


def tokens(*, page_size: int = 100) -> Operation[Page[Token]]:
    """List all tokens without their secrets, page by page."""
    return Operation("GET", path("tokens"), _tokens, query=query(limit=page_size))


def revoke_token(token_id: str) -> Operation[Token]:
    """Revoke a token, so that it is not accepted after this.

    Raises:
        TokenNotFound: the token does not exist.
    """
    target = path("tokens", validate(check_token_id, token_id), "revoke")
    return Operation("POST", target, about(_token, id=token_id), "write", headers=write_headers())


def _path(name: str, *rest: str) -> str:
    return path("principals", validate(check_principal_name, name), *rest)
