"""`/v1/blobs` takes bytes, `/v1/models/{name}/versions/{version}/files` gives them."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from litestar import Response
from litestar.params import FromPath
from litestar.response import Stream

from registry_server.api.exchange import HttpRequest, act, get, ports, put, shown, wrote
from registry_server.api.security import caller
from registry_server.core import artifacts
from registry_server.domain.artifacts import Blob
from registry_server.domain.errors import ContentRefused, TooLarge


@get("/blobs/{sha256:str}")
async def get_blob(request: HttpRequest, sha256: FromPath[str]) -> Response[Blob]:
    """Whether the bytes of that digest are here, and how many they are."""
    return shown(request, await artifacts.find(ports(request), await caller(request), sha256))


# The limit of JSON bodies would apply to the stream too, so it is lifted here and the bytes are counted.
@put("/blobs/{sha256:str}", request_max_body_size=None, status_code=201)
async def put_blob(request: HttpRequest, sha256: FromPath[str]) -> Response[Blob]:
    """Store the body under its digest; what has another digest is refused."""
    if "content-encoding" in request.headers:
        raise ContentRefused(
            "the body is encoded",
            remedy="send the bytes plain: their digest is checked",
            field="Content-Encoding",
            value=request.headers["content-encoding"],
            code="unsupported_media_type",
        )
    this = await act(request, body=b"", key_required=False)
    limit: int = request.app.state.settings.max_blob_bytes
    if (request.content_length or 0) > limit:
        raise TooLarge(
            f"the body has more than {limit} bytes",
            remedy="split the file, or raise max_blob_bytes of the server",
            field="Content-Length",
            value=request.content_length,
        )
    return wrote(await artifacts.publish(ports(request), this, sha256, request.stream(), limit))


@get("/models/{name:str}/versions/{version:int}/files/{path:path}")
async def get_file(request: HttpRequest, name: FromPath[str], version: FromPath[int], path: FromPath[str]) -> Stream:
    """The bytes of one file of a version."""
    file, chunks = await artifacts.read(ports(request), await caller(request), name, version, path.removeprefix("/"))
    return Stream(
        _threaded(chunks),
        media_type="application/octet-stream",
        headers={
            "content-length": str(file.size),
            "etag": f'"{file.sha256}"',
            "content-disposition": "attachment",
            "x-content-type-options": "nosniff",
        },
    )


async def _threaded(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    iterator = iter(chunks)
    while (chunk := await asyncio.to_thread(next, iterator, None)) is not None:
        yield chunk
