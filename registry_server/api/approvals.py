"""Endpoints for approvals and refusals of a version: `/v1/models/{name}/versions/{version}/approvals`."""

from litestar import Response
from litestar.params import FromPath, JSONBody

from registry_server.api.authentication import authenticate
from registry_server.api.http import HttpRequest, database, entity_response, get, post, write
from registry_server.core import approvals
from registry_server.core.rights import Right
from registry_server.domain.approvals import Approval, VerdictRequest


@get("/models/{name:str}/versions/{version:int}/approvals")
async def list_approvals(request: HttpRequest, name: FromPath[str], version: FromPath[int]) -> Response[list[Approval]]:
    """List the current verdicts (approval or refusal) on a version, one for each human."""
    found = await approvals.list_of_version(database(request), await authenticate(request), name, version)
    return entity_response(request, found)


@post("/models/{name:str}/versions/{version:int}/approvals", needs=(Right.APPROVE,))
async def decide_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[VerdictRequest]
) -> Response[Approval]:
    """Approve or refuse a version. Only humans can do this, and not the human who registered the version."""
    return await write(request, approvals.decide, name, version, data)
