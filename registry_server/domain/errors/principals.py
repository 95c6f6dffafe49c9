"""Errors of principals, their tokens and their rights."""

from collections.abc import Sequence

from common_lib.rules.codes import Code
from registry_server.domain.errors.base import RegistryError


class Unauthenticated(RegistryError, code=Code.UNAUTHENTICATED):
    """Base class of the errors of a request without a valid token."""

    headers = {"www-authenticate": 'Bearer realm="model-registry"'}


class TokenMissing(Unauthenticated):
    """The request has no bearer token."""

    detail = "the request has no token"
    remedy = "send Authorization: Bearer mrg_…; an admin creates tokens with `registry-server token create`"


class SeveralTokens(Unauthenticated):
    """The request has more than one Authorization header."""

    detail = "the request has several Authorization headers"
    remedy = "send one Authorization header"


class TokenNotValid(Unauthenticated):
    """The token is malformed, unknown, expired or revoked. The response does not say which of these."""

    detail = "the token is not valid"
    remedy = "send Authorization: Bearer mrg_… with a token that has not expired"


class TooManyFailures(RegistryError, code=Code.TOO_MANY_FAILURES, field="peer"):
    """The address has sent too many tokens that are not valid."""

    remedy = "send a valid token, which is accepted immediately, or wait for the time in Retry-After"

    def __init__(self, peer: str, wait_s: float) -> None:
        self.retry_after_s = wait_s
        super().__init__(peer, f"the token is not valid, and {peer} has sent too many invalid tokens")


class WriteRateExceeded(RegistryError, code=Code.RATE_LIMITED, field="principal"):
    """The principal has reached its limit of written bytes per second."""

    remedy = (
        "wait for the time in Retry-After, then repeat the request with the same Idempotency-Key; an operator can "
        "raise REGISTRY_SERVER_WRITE_BYTES_PER_S"
    )

    def __init__(self, name: str, wait_s: float) -> None:
        self.retry_after_s = wait_s
        super().__init__(name, f"{name} has reached its limit of written bytes per second")


class RightMissing(RegistryError, code=Code.FORBIDDEN, field="right"):
    """The caller does not have a grant with the required right."""

    def __init__(self, name: str, right: str, model: str | None, roles: Sequence[str]) -> None:
        what = right.replace("_", " ") + (f" on model {model!r}" if model else "")
        remedy = f"ask an admin to grant one of these roles: {', '.join(roles)}"
        super().__init__(str(right), f"{name} lacks the right to {what}", remedy)


class GrantRemoved(RegistryError, code=Code.FORBIDDEN, field="right"):
    """A grant of the caller was removed while the request was running."""

    detail = "a grant of {value} was removed while the request was running"
    remedy = "repeat the request: the remaining grants may allow it, and an upload continues where it stopped"


class PrincipalNotFound(RegistryError, code=Code.PRINCIPAL_NOT_FOUND, field="name"):
    """The principal does not exist."""

    detail = "principal {value!r} does not exist"
    remedy = "list the principals to see their names"


class PrincipalExists(RegistryError, code=Code.PRINCIPAL_EXISTS, field="name"):
    """Another principal already has this name."""

    detail = "principal {value!r} already exists"
    remedy = "choose another name, or update the grants of this principal"


class PrincipalNameReserved(RegistryError, code=Code.RESERVED_NAME, field="name"):
    """The name is reserved for the registry itself, which uses it in the event log."""

    detail = "the name {value!r} is reserved for the registry itself"
    remedy = "choose another name"


class TokenNotFound(RegistryError, code=Code.TOKEN_NOT_FOUND, field="id"):
    """The token does not exist."""

    detail = "token {value!r} does not exist"
    remedy = "list the tokens to see their ids"


class LastAdmin(RegistryError, code=Code.LAST_ADMIN, field="principal"):
    """The change is refused, because without this admin nobody could administer the registry."""

    detail = "{value} is the last admin with a valid token; after this change nobody could administer the registry"
    remedy = (
        "first give another principal the role admin on * and a token; the owner of the server's machine may stop the "
        "server and make the change there with `registry-server … --force`"
    )
