"""Endpoints for uploads in parts, which can be resumed: `/v1/uploads`."""

from litestar import Response
from litestar.params import FromPath, JSONBody

from common_lib.rules.uploads import Upload
from registry_server.api.artifacts import check_bytes
from registry_server.api.authentication import authenticate
from registry_server.api.http import HttpRequest, build_write_request, delete, environment, get, json_response, put
from registry_server.core import uploads
from registry_server.core.rights import Right
from registry_server.domain.uploads import UploadRequest


@put("/uploads/{sha256:str}", status_code=200, needs=(Right.UPLOAD,))
async def begin_upload(request: HttpRequest, sha256: FromPath[str], data: JSONBody[UploadRequest]) -> Response[Upload]:
    """Begin or resume an upload; the response says how many bytes are stored already."""
    by = await build_write_request(request, key_required=False)
    settings = request.app.state.settings
    quota = uploads.Quota(settings.max_blob_bytes, settings.max_open_uploads, settings.max_announced_bytes)
    return json_response(await uploads.begin(environment(request), by, sha256, data.size, quota))


@get("/uploads/{sha256:str}")
async def get_upload(request: HttpRequest, sha256: FromPath[str]) -> Response[Upload]:
    """Get the state of the caller's own upload."""
    return json_response(await uploads.get(environment(request), await authenticate(request), sha256))


@put("/uploads/{sha256:str}/parts/{start:int}", request_max_body_size=None, status_code=200, needs=(Right.UPLOAD,))
async def put_part(request: HttpRequest, sha256: FromPath[str], start: FromPath[int]) -> Response[Upload]:
    """Store the next part of an upload. `X-Prefix-SHA256` is the digest of all bytes up to the end of this part."""
    check_bytes(request)
    by = await build_write_request(request, key_required=False)
    prefix = request.headers.get("x-prefix-sha256", "")
    return json_response(
        await uploads.append_part(environment(request), by, sha256, request.stream(), start=start, prefix_sha256=prefix)
    )


@delete("/uploads/{sha256:str}", status_code=204, needs=(Right.UPLOAD,))
async def delete_upload(request: HttpRequest, sha256: FromPath[str]) -> None:
    """Delete the caller's own upload."""
    await uploads.delete(environment(request), await authenticate(request), sha256)
