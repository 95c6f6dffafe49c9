"""`/v1/blobs` takes bytes whole, `/v1/models/{name}/versions/{version}/files` gives them."""

from litestar import Response
from litestar.params import FromPath, JSONBody
from litestar.types import ASGIApp

from common_lib.rules.transfers import BLOBS_MEDIA_TYPE
from registry_server.api import blob_batch
from registry_server.api.authentication import authenticate
from registry_server.api.http import (
    HttpRequest,
    entity_response,
    environment,
    get,
    json_response,
    post,
    put,
    write_request,
    write_response,
)
from registry_server.api.ranges import FileResponse
from registry_server.api.request_body import read_body
from registry_server.core import artifacts
from registry_server.core.rights import Right
from registry_server.domain.artifacts import Blob, Presence, PresenceRequest, Verification
from registry_server.domain.errors import ContentRefused, TooLarge


@get("/blobs/{sha256:str}")
async def get_blob(request: HttpRequest, sha256: FromPath[str]) -> Response[Blob]:
    """Whether the bytes of that digest are here, and how many they are."""
    return entity_response(request, await artifacts.get_blob(environment(request), await authenticate(request), sha256))


# The limit of JSON bodies would apply to the stream too, so it is lifted here and the bytes are counted.
@put("/blobs/{sha256:str}", request_max_body_size=None, status_code=201, needs=(Right.UPLOAD,))
async def put_blob(request: HttpRequest, sha256: FromPath[str]) -> Response[Blob]:
    """Store the body under its digest; what has another digest is refused."""
    limit = check_bytes(request)
    by = await write_request(request, key_required=False)
    return write_response(await artifacts.put_blob(environment(request), by, sha256, request.stream(), limit))


@post("/blobs", status_code=200, needs=(Right.UPLOAD,), large=True)
async def put_blobs(request: HttpRequest) -> Response[Presence]:
    """Store several small blobs, up to 40; when one has another digest, none is stored."""
    check_bytes(request)
    if request.headers.get("content-type") != BLOBS_MEDIA_TYPE:
        raise ContentRefused(
            f"Content-Type is {request.headers.get('content-type', '')!r:.100}",
            remedy=f"send the blobs as {BLOBS_MEDIA_TYPE}",
            field="Content-Type",
            value=request.headers.get("content-type", ""),
            code="unsupported_media_type",
        )
    by = await write_request(request, key_required=False)
    return json_response(
        await artifacts.put_blobs(environment(request), by, blob_batch.parse((await read_body(request)).content))
    )


@post("/presence", status_code=200, needs=(Right.UPLOAD,))
async def check_presence(request: HttpRequest, data: JSONBody[PresenceRequest]) -> Response[Presence]:
    """List which of these bytes must be sent; the others are kept for a day, for the version that will name them.

    With `model`, the request is refused where the registration of a version of that model would be.
    """
    by = await write_request(request, key_required=False)
    return json_response(await artifacts.check_presence(environment(request), by, data.sha256, data.model))


@post("/blobs/{sha256:str}/verify", status_code=200, needs=(Right.READ,))
async def verify_blob(request: HttpRequest, sha256: FromPath[str]) -> Response[Verification]:
    """Read the bytes again; those that are not what their digest says go into quarantine."""
    by = await write_request(request, key_required=False)
    return json_response(await artifacts.verify_blob(environment(request), by, sha256))


@get("/models/{name:str}/versions/{version:int}/files/{path:path}")
async def get_file(request: HttpRequest, name: FromPath[str], version: FromPath[int], path: FromPath[str]) -> ASGIApp:
    """The bytes of one file of a version, or the range of them that is asked for."""
    file = await artifacts.get_file(
        environment(request), await authenticate(request), name, version, path.removeprefix("/")
    )
    return FileResponse(file, environment(request).blobs, request.headers)


def check_bytes(request: HttpRequest) -> int:
    """How many bytes a body may have that is stored as it is.

    Raises:
        ContentRefused: it is encoded.
        TooLarge: it says itself that it has more.
    """
    if "content-encoding" in request.headers:
        raise ContentRefused(
            "the body is encoded",
            remedy="send the bytes plain: their digest is checked",
            field="Content-Encoding",
            value=request.headers["content-encoding"],
            code="unsupported_media_type",
        )
    limit: int = request.app.state.settings.max_blob_bytes
    if (request.content_length or 0) > limit:
        raise TooLarge(
            f"the body has more than {limit} bytes",
            remedy="split the file, or raise the limit by REGISTRY_SERVER_MAX_BLOB_BYTES",
            field="Content-Length",
            value=request.content_length,
        )
    return limit
