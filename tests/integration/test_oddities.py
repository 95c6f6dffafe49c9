"""Answers that do not come from a registry: each raises an error of the library and uses little memory."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import respx

from common_lib import AsyncHttpRegistry, HttpRegistry, RegistryConfig
from common_lib.errors import ConnectionFailed, NotFound, ProtocolError, RegistryError, RequestRefused, ServerFailed

URL = "http://registry.test"
JSON = {"content-type": "application/json"}
PROBLEM = {"content-type": "application/problem+json"}


def problem(**facts: Any) -> bytes:
    """Return a problem document with these fields changed."""
    import json  # noqa: PLC0415 - only here

    whole = {"type": "about:blank", "title": "no", "status": 404, "detail": "no", "code": "model_not_found"}
    return json.dumps(whole | {"remedy": "", "request_id": "r", "field": None, "value": None} | facts).encode()


class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body of 80 MB, chunk by chunk."""

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(80):
            yield b"x" * 1_000_000

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


ODD: dict[str, tuple[dict[str, Any], type[RegistryError]]] = {
    "bad JSON": ({"status": 200, "headers": JSON, "content": b'{"name": '}, ProtocolError),
    "another type": ({"status": 200, "headers": {"content-type": "text/html"}, "content": b"<html>"}, ProtocolError),
    "a list": ({"status": 200, "headers": JSON, "content": b"[]"}, ProtocolError),
    "deep JSON": ({"status": 200, "headers": JSON, "content": b"[" * 100_000}, ProtocolError),
    "no body": ({"status": 200, "headers": JSON, "content": b""}, ProtocolError),
    "no headers": ({"status": 200, "content": b"{}"}, ProtocolError),
    "204": ({"status": 204}, ProtocolError),
    "a redirect": ({"status": 302, "headers": {"location": "http://elsewhere.test/"}}, ProtocolError),
    "a redirect to nowhere": ({"status": 301, "headers": {"location": "http://[::1/"}}, RegistryError),
    "a redirect without an address": ({"status": 307}, ProtocolError),
    "304": ({"status": 304}, ProtocolError),
    "a good body with a bad status": ({"status": 500, "headers": JSON, "content": b'{"name": "admin"}'}, ServerFailed),
    "an unknown status": ({"status": 799, "headers": JSON, "content": b"{}"}, ServerFailed),
    "an unknown code": ({"status": 404, "headers": PROBLEM, "content": problem(code="of_tomorrow")}, NotFound),
    "an unknown code of 418": (
        {"status": 418, "headers": PROBLEM, "content": problem(status=418, code="teapot")},
        RequestRefused,
    ),
    "an invalid problem": ({"status": 404, "headers": PROBLEM, "content": b'{"code": 7}'}, ProtocolError),
    "a problem in Latin-1": ({"status": 404, "headers": PROBLEM, "content": b'{"detail": "\xe9"}'}, ProtocolError),
    "a huge error": ({"status": 404, "headers": {"content-type": "text/html"}, "stream": Endless()}, ProtocolError),
    "a huge failure": ({"status": 503, "stream": Endless()}, ServerFailed),
    "a huge answer": ({"status": 200, "headers": JSON, "stream": Endless()}, ConnectionFailed),
    "gzip that was not requested": (
        {"status": 200, "headers": JSON | {"content-encoding": "gzip"}, "stream": httpx.ByteStream(b"\x1f\x8b\x08")},
        ProtocolError,
    ),
    "headers in Latin-1": (
        {"status": 200, "headers": [(b"x-\xe9", b"\xff\xfe"), (b"etag", b"\xff")], "content": b"{}"},
        ProtocolError,
    ),
}


def _call(client: str) -> None:
    config = RegistryConfig(url=URL, attempts=1)
    if client == "blocking":
        with HttpRegistry(config) as registry:
            registry.principals.whoami()
        return

    async def call() -> None:
        async with AsyncHttpRegistry(config) as registry:
            await registry.principals.whoami()

    asyncio.run(call())


@pytest.mark.parametrize("client", ["blocking", "async"])
@pytest.mark.parametrize("oddity", ODD)
def test_an_answer_that_is_not_from_a_registry_raises_an_error_of_the_library(client: str, oddity: str) -> None:
    """The error describes the answer briefly; of an endless refusal only the beginning is read."""
    options, error = ODD[oddity]
    options = {"status_code" if name == "status" else name: value for name, value in options.items()}
    with respx.mock:
        respx.get(url__startswith=URL).mock(side_effect=lambda _: httpx.Response(**options))
        tracemalloc.start()
        try:
            with pytest.raises(error) as failed:
                _call(client)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert len(str(failed.value)) < 2_000
    assert peak < (140e6 if error is ConnectionFailed else 10e6)


def test_a_transport_that_returns_whole_answers_works_like_the_network() -> None:
    """A service may use `httpx.MockTransport` in its tests."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models/a/aliases":
            return httpx.Response(200, headers=JSON, content=b"[]")
        return httpx.Response(404, headers=PROBLEM, content=problem())

    whole = httpx.MockTransport(answer)
    config = RegistryConfig(url=URL, token="mrg_x")
    with HttpRegistry(config, transport=whole) as registry:
        assert registry.aliases.list_of_model("a") == []
        with pytest.raises(NotFound):
            registry.models.get("b")

    async def call() -> None:
        async with AsyncHttpRegistry(config, transport=whole) as registry:
            assert await registry.aliases.list_of_model("a") == []
            with pytest.raises(NotFound):
                await registry.models.get("b")

    asyncio.run(call())
