"""A registry in this process, and its recorded requests and responses of every kind, for the fuzzer to change.

A recorded request contains placeholders for values that differ between worlds: `TOKEN` for the admin's token and
`KEY` for a fresh idempotency key. Therefore each world has the same cases.
"""

import atexit
import contextlib
import itertools
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import httpx

from common_lib import HttpRegistry, Operation, RegistryConfig
from registry_server.inprocess import URL, PortalTransport
from registry_server.testing import TestBackend, backend
from tests.contract.test_openapi_is_true import _use_everything

TOKEN: Final = b"<token>"
KEY: Final = b"<key>"
_KEYS: Final = itertools.count()
_LEFT_OUT: Final = frozenset({b"host", b"user-agent", b"accept", b"accept-encoding", b"connection", b"traceparent"})
_RESET_AFTER: Final = 2_000


class Request(NamedTuple):
    """A request as bytes: method, target of the request line, headers and body."""

    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def route(self) -> str:
        """Method and target without the query."""
        return f"{self.method} {self.target.partition(b'?')[0].decode()}"


class Answer(NamedTuple):
    """Status, headers and body of a response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Exchange(NamedTuple):
    """An operation of the client, its request, and the response."""

    operation: Operation[Any]
    request: Request
    answer: Answer


class World:
    """The application with its own database, after the scenario that uses every operation."""

    def __init__(self, served: TestBackend, folder: Path) -> None:
        self._served = served
        self._folder = folder
        self._ids = map(str, itertools.count())
        self._cases = 0
        self.exchanges: list[Exchange] = []
        self.begin_again()

    def begin_again(self) -> None:
        """Reset the application and run the scenario."""
        self._cases = 0
        self._served.reset()
        self.token = self._served.token()
        recorder = _Recorder(self._served, self.token)
        folder = self._folder / next(self._ids)
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"weights")
        with recorder.registry() as registry:
            _use_everything(registry, folder)
        self.exchanges = recorder.exchanges

    def send(self, request: Request) -> Answer:
        """Send a request and return the response; reset the world regularly, before changes accumulate."""
        self._cases += 1
        if self._cases > _RESET_AFTER:
            self.begin_again()
        return self._served._portal.call(_answer, self._served._app, self._filled(request))

    def _filled(self, request: Request) -> Request:
        key = b"fuzz-%08d" % next(_KEYS)
        headers = [(n, v.replace(TOKEN, self.token.encode()).replace(KEY, key)) for n, v in request.headers]
        return request._replace(headers=tuple(headers))


@cache
def world() -> World:
    """Return the world of this process, which ends with the process."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-world-"))
    return World(stack.enter_context(backend()), Path(folder))


def repeatable() -> list[Request]:
    """Return recorded requests that succeed when they are sent again, at most two for each route."""
    found: dict[str, list[Request]] = {}
    for exchange in world().exchanges:
        same = found.setdefault(exchange.request.route, [])
        # The id of a token differs between worlds.
        named = b"/tokens/" in exchange.request.target
        if len(same) < 2 and not named and exchange.request not in same:
            same.append(exchange.request)
    taken = [request for same in found.values() for request in same if world().send(request).status < 400]
    world().begin_again()
    return taken


def recorded() -> list[Request]:
    """Return every distinct recorded request, also those that do not succeed again."""
    return list(dict.fromkeys(exchange.request for exchange in world().exchanges))


class _Recorder(PortalTransport):
    """A transport that passes requests to the application and stores each with its operation and response."""

    def __init__(self, served: TestBackend, token: str) -> None:
        super().__init__(served._app, served._portal)
        self._token = token
        self._operation: Operation[Any] | None = None
        self.exchanges: list[Exchange] = []

    @contextlib.contextmanager
    def registry(self) -> Iterator[HttpRegistry]:
        """Open a registry whose calls are recorded."""
        with HttpRegistry(RegistryConfig(url=URL, token=self._token, resolve=None), transport=self) as registry:
            call = registry.call

            def noted(operation: Operation[Any]) -> Any:
                self._operation = operation
                return call(operation)

            with mock.patch.object(registry, "call", noted):
                yield registry

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request to the application, and store the request and the response."""
        body = b"".join(request.stream) if isinstance(request.stream, httpx.SyncByteStream) else b""
        passed = httpx.Request(request.method, request.url, headers=request.headers, content=body)
        response = super().handle_request(passed)
        answer = Answer(response.status_code, tuple(response.headers.items()), response.read())
        if self._operation is not None:
            self.exchanges.append(Exchange(self._operation, self._neutral(request, body), answer))
        return httpx.Response(answer.status, headers=response.headers, stream=httpx.ByteStream(answer.body))

    def _neutral(self, request: httpx.Request, body: bytes) -> Request:
        headers = []
        for name, value in request.headers.raw:
            low = name.lower()
            if low in _LEFT_OUT or low == b"x-request-deadline-ms":
                continue
            new = KEY if low == b"idempotency-key" else value.replace(self._token.encode(), TOKEN)
            headers.append((low, new))
        target = re.sub(rb"as_of=[^&]*", b"as_of=2026-03-01T00:00:00Z", request.url.raw_path)
        return Request(request.method, target, tuple(headers), body)


async def _answer(app: Any, request: Request) -> Answer:
    """Call the application like a server that has read the head of a request."""
    path, _, query = request.target.partition(b"?")
    sent: list[Any] = []
    pending = [{"type": "http.request", "body": request.body, "more_body": False}]

    async def receive() -> Any:
        return pending.pop() if pending else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 50_000),
        "scheme": "http",
        "root_path": "",
        "method": request.method,
        "raw_path": path,
        "path": _decoded(path),
        "query_string": query,
        "headers": [(b"host", b"registry.test"), *request.headers],
        "state": {},
        "extensions": {},
    }
    await app(scope, receive, send)
    start, *rest = sent
    headers = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in start["headers"])
    return Answer(start["status"], headers, b"".join(message.get("body", b"") for message in rest))


def _decoded(path: bytes) -> str:
    from urllib.parse import unquote  # noqa: PLC0415 - as uvicorn does it

    return unquote(path.decode("ascii"))
