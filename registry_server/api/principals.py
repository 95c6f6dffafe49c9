"""`/v1/principals`, `/v1/tokens` and `/v1/whoami`."""

import msgspec
from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from registry_server.api.exchange import HttpRequest, database, get, patch, post, shown, write
from registry_server.api.security import caller
from registry_server.api.telemetry import facts
from registry_server.core import principals
from registry_server.core.rights import Right
from registry_server.domain.base import Page
from registry_server.domain.pages import DEFAULT_LIMIT
from registry_server.domain.principals import (
    CreatePrincipal,
    CreateToken,
    IssuedToken,
    Principal,
    Token,
    UpdatePrincipal,
)
from registry_server.logs import security


@get("/whoami")
async def whoami(request: HttpRequest) -> Response[Principal]:
    """The principal behind the token."""
    return shown(request, (await caller(request)).principal)


@get("/principals")
async def list_principals(
    request: HttpRequest, limit: FromQuery[int] = DEFAULT_LIMIT, page_token: FromQuery[str | None] = None
) -> Response[Page[Principal]]:
    """All principals."""
    return shown(request, await principals.search(database(request), await caller(request), limit, page_token))


@post("/principals", needs=(Right.ADMINISTER,))
async def create_principal(request: HttpRequest, data: JSONBody[CreatePrincipal]) -> Response[Principal]:
    """Make a human or a service known."""
    return await write(request, principals.create, data)


@get("/principals/{name:str}")
async def get_principal(request: HttpRequest, name: FromPath[str]) -> Response[Principal]:
    """One principal."""
    return shown(request, await principals.get(database(request), await caller(request), name))


@patch("/principals/{name:str}", needs=(Right.ADMINISTER,))
async def update_principal(
    request: HttpRequest, name: FromPath[str], data: JSONBody[UpdatePrincipal]
) -> Response[Principal]:
    """Replace the grants of a principal."""
    updated = await write(request, principals.update, name, data)
    request.app.state.gate.forget()
    security("grants_changed", **facts(request.scope), subject_principal=name)
    return updated


@post("/principals/{name:str}/tokens", needs=(Right.ADMINISTER,))
async def issue_token(request: HttpRequest, name: FromPath[str], data: JSONBody[CreateToken]) -> Response[IssuedToken]:
    """Give a principal a token."""
    answer = await write(request, principals.issue, name, data, principals.new_secret())
    issued = msgspec.json.decode(answer.body, type=IssuedToken)
    security("token_issued", **facts(request.scope), subject=issued.token.id, subject_principal=issued.token.principal)
    return answer


@get("/tokens")
async def list_tokens(
    request: HttpRequest, limit: FromQuery[int] = DEFAULT_LIMIT, page_token: FromQuery[str | None] = None
) -> Response[Page[Token]]:
    """All tokens, without their secrets."""
    return shown(request, await principals.search_tokens(database(request), await caller(request), limit, page_token))


@post("/tokens/{token_id:str}/revoke", status_code=200, needs=(Right.ADMINISTER,))
async def revoke_token(request: HttpRequest, token_id: FromPath[str]) -> Response[Token]:
    """End a token."""
    revoked = await write(request, principals.revoke, token_id)
    request.app.state.gate.forget()
    token = msgspec.json.decode(revoked.body, type=Token)
    security("token_revoked", **facts(request.scope), subject=token.id, subject_principal=token.principal)
    return revoked
