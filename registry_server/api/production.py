"""Endpoints for production: `/v1/models/{name}/production`, `…/history`, `…/rollback`, `…/versions/{version}/check`."""

from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from common_lib.rules import references
from common_lib.rules.production import Decision, InProduction
from common_lib.rules.promotion import Check
from registry_server.api.authentication import authenticate
from registry_server.api.http import (
    HttpRequest,
    database,
    entity_response,
    environment,
    get,
    json_response,
    post,
    write,
)
from registry_server.core import production
from registry_server.core.rights import Right
from registry_server.domain.base import Page
from registry_server.domain.pages import DEFAULT_LIMIT
from registry_server.domain.production import RollbackRequest
from registry_server.domain.versions import ModelVersion


@get("/models/{name:str}/production")
async def get_production(
    request: HttpRequest, name: FromPath[str], as_of: FromQuery[str | None] = None
) -> Response[InProduction]:
    """Get the version that was in production at a given time (by default, now), who decided this, and why."""
    moment = None if as_of is None else references.parse_moment("as_of", as_of)
    who, now = await authenticate(request), environment(request).now()
    return json_response(await production.get(database(request), who, name, moment, now))


@get("/models/{name:str}/history")
async def list_decisions(
    request: HttpRequest,
    name: FromPath[str],
    limit: FromQuery[int] = DEFAULT_LIMIT,
    page_token: FromQuery[str | None] = None,
) -> Response[Page[Decision]]:
    """List the decisions about a model, newest first: who, when, why, and which stages changed."""
    who = await authenticate(request)
    page = await production.list_decisions(database(request), who, name, limit=limit, page_token=page_token)
    return entity_response(request, page)


@get("/models/{name:str}/versions/{version:int}/check")
async def check_version(request: HttpRequest, name: FromPath[str], version: FromPath[int]) -> Response[Check]:
    """Check each rule of the policy as if the version were promoted now; nothing is changed."""
    who, now = await authenticate(request), environment(request).now()
    return json_response(await production.check(database(request), who, name, version, now))


@post("/models/{name:str}/rollback", status_code=200, needs=(Right.PROMOTE,))
async def roll_back_model(
    request: HttpRequest, name: FromPath[str], data: JSONBody[RollbackRequest]
) -> Response[ModelVersion]:
    """Put the version that was in production before the current one into production again."""
    return await write(request, production.roll_back, name, data)
