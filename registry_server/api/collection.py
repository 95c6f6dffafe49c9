"""Endpoint that starts a garbage collection: `/v1/collection`."""

from litestar import Response
from litestar.params import JSONBody

from common_lib.rules.collection import Collection
from registry_server.api.http import HttpRequest, build_write_request, environment, json_response, post
from registry_server.core import collection
from registry_server.core.rights import Right
from registry_server.domain.collection import CollectionRequest


@post("/collection", status_code=200, needs=(Right.ADMINISTER,))
async def collect_garbage(request: HttpRequest, data: JSONBody[CollectionRequest]) -> Response[Collection]:
    """Delete blobs that no version references, or only count what would be deleted."""
    by = await build_write_request(request, key_required=False)
    return json_response(await collection.collect(environment(request), by, data))
