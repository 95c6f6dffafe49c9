"""Bodies of requests: read within the limit of their route, and parsed in a thread if they are large."""

import asyncio
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from litestar import Request
from litestar.utils.scope.state import ScopeState

from registry_server.api import strict_json
from registry_server.domain import errors

# Ten times the need of any request except the registration of a version.
MAX_JSON_BYTES: Final = 1024**2
MAX_VALUES: Final = 30_000
# A manifest of 10,000 files with all four fields has 80,000 values.
MAX_VALUES_OF_VERSION: Final = 120_000
_INLINE_BYTES = 16 * 1024
# A whole string (even without its end), or a character that separates two values. The pattern does not backtrack.
_TEXT_OR_SIGN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|$|\\)|[,:]', re.DOTALL)
# One thread: even with many large bodies at once, the event loop gets half of the interpreter's time.
_parser = ThreadPoolExecutor(1, thread_name_prefix="registry-bodies")
_BODY = "registry_body"


class Body(NamedTuple):
    """A complete body and its digest."""

    content: bytes
    sha256: bytes


async def read_body(request: Request[Any, Any, Any]) -> Body:
    """Read the whole body of a request; a second call returns the same object.

    Raises:
        BodyTooLarge: the body, or its announced length, is larger than its route accepts.
    """
    scope: Any = request.scope
    if _BODY not in scope:
        limit = _limit(request)
        if (request.content_length or 0) > limit:
            raise errors.BodyTooLarge(request.content_length, limit)
        digest, pieces, size = hashlib.sha256(), [], 0
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise errors.BodyTooLarge(size, limit)
            digest.update(piece)
            pieces.append(piece)
        body = Body(b"".join(pieces), digest.digest())
        scope[_BODY] = body
        ScopeState.from_scope(scope).body = body.content
    found: Body = scope[_BODY]
    return found


async def prepare_json(request: Request[Any, Any, Any]) -> None:
    """Read and parse the JSON body of a request if its route expects one.

    Raises:
        RegistryError: the body is too large, not JSON, or a field of it is not valid.
    """
    if "data" not in request.route_handler.parsed_fn_signature.parameters:
        return
    strict_json.require_plain_json(request.headers)
    content = (await read_body(request)).content
    if not content:
        return  # Litestar refuses it
    scope: Any = request.scope
    decoder = strict_json.get_decoder(request.route_handler)
    if len(content) <= _INLINE_BYTES:
        scope[strict_json.PARSED] = strict_json.parse(content, decoder)
        return
    most = MAX_VALUES_OF_VERSION if _is_large(request) else MAX_VALUES
    loop = asyncio.get_running_loop()
    scope[strict_json.PARSED] = await loop.run_in_executor(_parser, _parse_bounded, content, decoder, most)


def _parse_bounded(content: bytes, decoder: Any, most: int) -> Any:
    if content.count(b",") + content.count(b":") > most:
        _check_count(content, most)
    return strict_json.parse(content, decoder)


def _check_count(content: bytes, most: int) -> None:
    """Refuse a body with too many JSON values; separators within strings are not counted.

    This loop runs in Python, so other threads can run meanwhile. The parser would block them until it ends.
    """
    signs = texts = 0
    for match in _TEXT_OR_SIGN.finditer(content):
        if content[match.start()] == ord('"'):
            texts += 1
        else:
            signs += 1
        if max(signs, texts) > most:
            raise errors.TooManyValues(content[:200].decode("utf-8", "backslashreplace"), most)


def _is_large(request: Request[Any, Any, Any]) -> bool:
    return bool(request.route_handler.opt.get("large"))


def _limit(request: Request[Any, Any, Any]) -> int:
    most: int = request.app.state.settings.max_body_bytes
    return most if _is_large(request) else min(most, MAX_JSON_BYTES)
