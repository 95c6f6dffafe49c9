"""`/v1/models/{name}/versions/{version}/check` and `…/approvals`."""

from litestar import Response
from litestar.params import FromPath, JSONBody

from registry_server.api.exchange import HttpRequest, database, encoded, get, ports, post, shown, write
from registry_server.api.security import caller
from registry_server.core import approvals, promotion
from registry_server.domain.approvals import Approval, Check, VerdictRequest


@get("/models/{name:str}/versions/{version:int}/check")
async def check_version(request: HttpRequest, name: FromPath[str], version: FromPath[int]) -> Response[Check]:
    """What a promotion of a version would come to now, rule by rule; nothing is changed."""
    who, now = await caller(request), ports(request).now()
    return encoded(await promotion.check(database(request), who, name, version, now))


@get("/models/{name:str}/versions/{version:int}/approvals")
async def list_approvals(request: HttpRequest, name: FromPath[str], version: FromPath[int]) -> Response[list[Approval]]:
    """The last word of each human about a version."""
    return shown(request, await approvals.search(database(request), await caller(request), name, version))


@post("/models/{name:str}/versions/{version:int}/approvals")
async def decide_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[VerdictRequest]
) -> Response[Approval]:
    """Approve a version, or refuse it; for humans other than its author."""
    return await write(request, approvals.decide, name, version, data)
