"""`/v1/collection`: the order to collect garbage."""

from litestar import Response
from litestar.params import JSONBody

from registry_server.api.http import HttpRequest, environment, json_response, post, write_request
from registry_server.core import collection
from registry_server.core.rights import Right
from registry_server.domain.collection import Collection, CollectionRequest


@post("/collection", status_code=200, needs=(Right.ADMINISTER,))
async def collect_garbage(request: HttpRequest, data: JSONBody[CollectionRequest]) -> Response[Collection]:
    """Remove bytes that no version names, or say what would be removed."""
    by = await write_request(request, key_required=False)
    return json_response(await collection.collect(environment(request), by, data))
