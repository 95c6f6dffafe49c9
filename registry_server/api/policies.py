"""Endpoints for the policy of a model: `/v1/models/{name}/policy`."""

from litestar import Response
from litestar.params import FromPath, JSONBody

from registry_server.api.authentication import authenticate
from registry_server.api.http import HttpRequest, database, entity_response, get, put, write
from registry_server.core import policies
from registry_server.core.rights import Right
from registry_server.domain.policies import Policy, SetPolicy


@get("/models/{name:str}/policy")
async def get_policy(request: HttpRequest, name: FromPath[str]) -> Response[Policy]:
    """Get the policy that a version of the model must meet before its promotion to production."""
    return entity_response(request, await policies.get(database(request), await authenticate(request), name))


@put("/models/{name:str}/policy", needs=(Right.GOVERN,))
async def set_policy(request: HttpRequest, name: FromPath[str], data: JSONBody[SetPolicy]) -> Response[Policy]:
    """Replace the policy of a model."""
    return await write(request, policies.put, name, data)
