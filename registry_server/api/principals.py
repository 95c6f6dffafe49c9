"""Endpoints for principals and their tokens: `/v1/principals`, `/v1/tokens` and `/v1/whoami`."""

import msgspec
from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from registry_server.api.authentication import authenticate
from registry_server.api.http import HttpRequest, database, entity_response, get, patch, post, write
from registry_server.api.telemetry import log_fields
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
from registry_server.logs import log_security_event


@get("/whoami")
async def whoami(request: HttpRequest) -> Response[Principal]:
    """Get the principal to which the token of this request belongs."""
    return entity_response(request, (await authenticate(request)).principal)


@get("/principals")
async def list_principals(
    request: HttpRequest, limit: FromQuery[int] = DEFAULT_LIMIT, page_token: FromQuery[str | None] = None
) -> Response[Page[Principal]]:
    """List all principals."""
    page = await principals.list_page(database(request), await authenticate(request), limit, page_token)
    return entity_response(request, page)


@post("/principals", needs=(Right.ADMINISTER,))
async def create_principal(request: HttpRequest, data: JSONBody[CreatePrincipal]) -> Response[Principal]:
    """Create a principal: a human or a service."""
    return await write(request, principals.create, data)


@get("/principals/{name:str}")
async def get_principal(request: HttpRequest, name: FromPath[str]) -> Response[Principal]:
    """Get a principal."""
    return entity_response(request, await principals.get(database(request), await authenticate(request), name))


@patch("/principals/{name:str}", needs=(Right.ADMINISTER,))
async def update_principal(
    request: HttpRequest, name: FromPath[str], data: JSONBody[UpdatePrincipal]
) -> Response[Principal]:
    """Replace the grants of a principal."""
    response = await write(request, principals.update, name, data)
    request.app.state.authenticator.forget()
    log_security_event("grants_changed", **log_fields(request.scope), subject_principal=name)
    return response


@post("/principals/{name:str}/tokens", needs=(Right.ADMINISTER,))
async def issue_token(request: HttpRequest, name: FromPath[str], data: JSONBody[CreateToken]) -> Response[IssuedToken]:
    """Issue a token to a principal."""
    response = await write(request, principals.issue_token, name, data, principals.new_secret())
    token = msgspec.json.decode(response.body, type=IssuedToken).token
    log_security_event("token_issued", **log_fields(request.scope), subject=token.id, subject_principal=token.principal)
    return response


@get("/tokens")
async def list_tokens(
    request: HttpRequest, limit: FromQuery[int] = DEFAULT_LIMIT, page_token: FromQuery[str | None] = None
) -> Response[Page[Token]]:
    """List all tokens, without their secrets."""
    page = await principals.list_tokens(database(request), await authenticate(request), limit, page_token)
    return entity_response(request, page)


@post("/tokens/{token_id:str}/revoke", status_code=200, needs=(Right.ADMINISTER,))
async def revoke_token(request: HttpRequest, token_id: FromPath[str]) -> Response[Token]:
    """Revoke a token."""
    response = await write(request, principals.revoke_token, token_id)
    request.app.state.authenticator.forget()
    token = msgspec.json.decode(response.body, type=Token)
    fields = log_fields(request.scope)
    log_security_event("token_revoked", **fields, subject=token.id, subject_principal=token.principal)
    return response
