"""Endpoints that store bytes (`/v1/blobs`, `/v1/presence`) and that serve them (`/v1/models/…/versions/…/files`)."""

from litestar import Response
from litestar.params import FromPath, JSONBody
from litestar.types import ASGIApp

from common_lib.rules.artifacts import BLOBS_MEDIA_TYPE, Presence
from registry_server.api import blob_batch
from registry_server.api.authentication import authenticate
from registry_server.api.http import (
    HttpRequest,
    build_write_request,
    entity_response,
    environment,
    get,
    json_response,
    post,
    put,
    write_response,
)
from registry_server.api.ranges import FileResponse
from registry_server.api.request_body import read_body
from registry_server.core import artifacts
from registry_server.core.rights import Right
from registry_server.domain import errors
from registry_server.domain.artifacts import Blob, PresenceRequest, Verification


@get("/blobs/{sha256:str}")
async def get_blob(request: HttpRequest, sha256: FromPath[str]) -> Response[Blob]:
    """Get the size and other data of the stored blob with this digest."""
    return entity_response(request, await artifacts.get_blob(environment(request), await authenticate(request), sha256))


# Litestar would apply the limit of JSON bodies to the stream, so it is lifted; the bytes are counted instead.
@put("/blobs/{sha256:str}", request_max_body_size=None, status_code=201, needs=(Right.UPLOAD,))
async def put_blob(request: HttpRequest, sha256: FromPath[str]) -> Response[Blob]:
    """Store the body under its digest; bytes with another digest are refused."""
    limit = check_bytes(request)
    by = await build_write_request(request, key_required=False)
    return write_response(await artifacts.put_blob(environment(request), by, sha256, request.stream(), limit))


@post("/blobs", status_code=200, needs=(Right.UPLOAD,), large=True)
async def put_blobs(request: HttpRequest) -> Response[Presence]:
    """Store up to 40 small blobs. If the bytes of one do not match its digest, none of them is stored."""
    check_bytes(request)
    media_type = request.headers.get("content-type", "")
    if media_type != BLOBS_MEDIA_TYPE:
        raise errors.MediaTypeNotSupported("Content-Type", media_type, BLOBS_MEDIA_TYPE)
    by = await build_write_request(request, key_required=False)
    return json_response(
        await artifacts.put_blobs(environment(request), by, blob_batch.parse((await read_body(request)).content))
    )


@post("/presence", status_code=200, needs=(Right.UPLOAD,))
async def check_presence(request: HttpRequest, data: JSONBody[PresenceRequest]) -> Response[Presence]:
    """List which of these blobs the client must upload. The server retains the other ones for at least a day.

    With `model`, the request is refused if the registration of a version of that model would be refused.
    """
    by = await build_write_request(request, key_required=False)
    return json_response(await artifacts.check_presence(environment(request), by, data.sha256, data.model))


@post("/blobs/{sha256:str}/verify", status_code=200, needs=(Right.READ,))
async def verify_blob(request: HttpRequest, sha256: FromPath[str]) -> Response[Verification]:
    """Hash the stored bytes again; move them to quarantine if they do not match their digest."""
    by = await build_write_request(request, key_required=False)
    return json_response(await artifacts.verify_blob(environment(request), by, sha256))


@get("/models/{name:str}/versions/{version:int}/files/{path:path}")
async def get_file(request: HttpRequest, name: FromPath[str], version: FromPath[int], path: FromPath[str]) -> ASGIApp:
    """Get the bytes of one file of a version, or the requested range of them."""
    file = await artifacts.get_file(
        environment(request), await authenticate(request), name, version, path.removeprefix("/")
    )
    return FileResponse(file, environment(request).blobs, request.headers)


def check_bytes(request: HttpRequest) -> int:
    """Check the head of a request whose body is stored unchanged; return how many bytes the body may have.

    Raises:
        MediaTypeNotSupported: the body has a content encoding.
        BlobTooLarge: Content-Length is above the limit.
    """
    if encoding := request.headers.get("content-encoding"):
        raise errors.MediaTypeNotSupported("Content-Encoding", encoding, "the bytes without Content-Encoding")
    limit: int = request.app.state.settings.max_blob_bytes
    if (request.content_length or 0) > limit:
        raise errors.BlobTooLarge("Content-Length", request.content_length, limit)
    return limit
