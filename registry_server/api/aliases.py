"""Endpoints for the aliases of a model: `/v1/models/{name}/aliases`."""

from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from registry_server.api.authentication import authenticate
from registry_server.api.http import HttpRequest, database, delete, entity_response, get, put, write
from registry_server.core import aliases
from registry_server.core.rights import Right
from registry_server.domain.aliases import Alias, SetAlias


@get("/models/{name:str}/aliases")
async def list_aliases(request: HttpRequest, name: FromPath[str]) -> Response[list[Alias]]:
    """List the aliases of a model."""
    return entity_response(request, await aliases.list_of_model(database(request), await authenticate(request), name))


@get("/models/{name:str}/aliases/{alias:str}")
async def get_alias(request: HttpRequest, name: FromPath[str], alias: FromPath[str]) -> Response[Alias]:
    """Get an alias."""
    return entity_response(request, await aliases.get(database(request), await authenticate(request), name, alias))


@put("/models/{name:str}/aliases/{alias:str}", needs=(Right.ALIAS,))
async def set_alias(
    request: HttpRequest, name: FromPath[str], alias: FromPath[str], data: JSONBody[SetAlias]
) -> Response[Alias]:
    """Point an alias at a version. Send `If-None-Match: *` for a new alias, and If-Match for an existing alias."""
    return await write(request, aliases.put, name, alias, data)


@delete("/models/{name:str}/aliases/{alias:str}", status_code=204, needs=(Right.ALIAS,))
async def delete_alias(
    request: HttpRequest, name: FromPath[str], alias: FromPath[str], reason: FromQuery[str] = ""
) -> Response[None]:
    """Delete an alias; a forced deletion requires a reason."""
    return await write(request, aliases.delete, name, alias, reason)
