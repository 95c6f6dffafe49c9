"""Answers that no registry gives: each becomes one of our errors, in both clients, and costs no memory to speak of."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import respx

from common_lib import AsyncHttpRegistry, HttpRegistry, RegistryConfig
from common_lib.errors import (
    ConnectionFailed,
    NotFound,
    ProtocolError,
    RegistryError,
    RequestRefused,
    ServerFailed,
)

URL = "http://registry.test"
JSON = {"content-type": "application/json"}
PROBLEM = {"content-type": "application/problem+json"}


def problem(**facts: Any) -> bytes:
    """A problem as the registry words it, but for these facts."""
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
    "a status of its own": ({"status": 799, "headers": JSON, "content": b"{}"}, ServerFailed),
    "an unknown code": ({"status": 404, "headers": PROBLEM, "content": problem(code="of_tomorrow")}, NotFound),
    "an unknown code of 418": (
        {"status": 418, "headers": PROBLEM, "content": problem(status=418, code="teapot")},
        RequestRefused,
    ),
    "a problem that is none": ({"status": 404, "headers": PROBLEM, "content": b'{"code": 7}'}, ProtocolError),
    "a problem in Latin-1": ({"status": 404, "headers": PROBLEM, "content": b'{"detail": "\xe9"}'}, ProtocolError),
    "a huge error": ({"status": 404, "headers": {"content-type": "text/html"}, "stream": Endless()}, ProtocolError),
    "a huge failure": ({"status": 503, "stream": Endless()}, ServerFailed),
    "a huge answer": ({"status": 200, "headers": JSON, "stream": Endless()}, ConnectionFailed),
    "zipped though nobody asked": (
        {"status": 200, "headers": JSON | {"content-encoding": "gzip"}, "stream": httpx.ByteStream(b"\x1f\x8b\x08")},
        ProtocolError,
    ),
    "headers in Latin-1": (
        {"status": 200, "headers": [(b"x-\xe9", b"\xff\xfe"), (b"etag", b"\xff")], "content": b"{}"},
        ProtocolError,
    ),
}


def _ask(client: str) -> None:
    config = RegistryConfig(url=URL, attempts=1)
    if client == "blocking":
        with HttpRegistry(config) as registry:
            registry.principals.whoami()
        return

    async def ask() -> None:
        async with AsyncHttpRegistry(config) as registry:
            await registry.principals.whoami()

    asyncio.run(ask())


@pytest.mark.parametrize("client", ["blocking", "async"])
@pytest.mark.parametrize("oddity", ODD)
def test_an_answer_of_no_registry_is_one_of_our_errors(client: str, oddity: str) -> None:
    """It says what came, shortly; of a refusal without end the beginning is read."""
    given, error = ODD[oddity]
    given = {"status_code" if name == "status" else name: value for name, value in given.items()}
    with respx.mock:
        respx.get(url__startswith=URL).mock(side_effect=lambda _: httpx.Response(**given))
        tracemalloc.start()
        try:
            with pytest.raises(error) as failed:
                _ask(client)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert len(str(failed.value)) < 2_000
    assert most < (140e6 if error is ConnectionFailed else 10e6)


def test_a_transport_that_brings_answers_whole_is_as_good_as_the_network() -> None:
    """`httpx.MockTransport` in the tests of a service: what it answers is an answer, and its refusal a refusal."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models/a/aliases":
            return httpx.Response(200, headers=JSON, content=b"[]")
        return httpx.Response(404, headers=PROBLEM, content=problem())

    whole = httpx.MockTransport(answer)
    config = RegistryConfig(url=URL, token="mrg_x")
    with HttpRegistry(config, transport=whole) as registry:
        assert registry.aliases.of_model("a") == []
        with pytest.raises(NotFound):
            registry.models.get("b")

    async def asked() -> None:
        async with AsyncHttpRegistry(config, transport=whole) as registry:
            assert await registry.aliases.of_model("a") == []
            with pytest.raises(NotFound):
                await registry.models.get("b")

    asyncio.run(asked())
