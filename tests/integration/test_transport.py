"""Faults of the network raise errors of the library, over real sockets and in both clients."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from common_lib import AsyncHttpRegistry, HttpRegistry, ModelRegistry, RegistryConfig
from common_lib.errors import AnswerTimedOut, ConnectionFailed, ProtocolError, RegistryError, ServerFailed
from tests.conftest import ViaAsync

Talk = Callable[[socket.socket], None]
PRINCIPAL = json.dumps(
    {
        "name": "admin",
        "kind": "human",
        "grants": [],
        "revision": 1,
        "created_by": "admin",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }
).encode()


@contextlib.contextmanager
def serving(*talks: Talk) -> Iterator[str]:
    """Start a server that runs one function for each connection, and then stops."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for talk in talks:
                with contextlib.suppress(OSError):
                    connection, _ = listening.accept()
                    with connection:
                        talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def _sends(answer: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return talk


def _ok(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"content-type: application/json", b"connection: close", *headers]
    return b"\r\n".join([*lines, b"content-length: %d" % len(body), b"", body])


def _hangs(connection: socket.socket) -> None:
    connection.recv(65536)
    # Until the client gives up and closes.
    connection.recv(1)


def _cuts(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(_ok(PRINCIPAL)[:-10])


def _resets(connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def _trickles(begin: int) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(_ok(PRINCIPAL)[:begin])
        connection.settimeout(0.05)
        for byte in _ok(PRINCIPAL)[begin:]:
            connection.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                connection.recv(1)

    return talk


@pytest.fixture(params=["blocking", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., ModelRegistry]]:
    """Provide a function that makes registries of either client."""
    with contextlib.ExitStack() as stack:
        if request.param == "blocking":
            yield lambda **options: stack.enter_context(HttpRegistry(RegistryConfig(**options)))
        else:
            portal = stack.enter_context(start_blocking_portal())

            def make(**options: Any) -> ModelRegistry:
                async def open_registry() -> AsyncHttpRegistry:
                    return AsyncHttpRegistry(RegistryConfig(**options))

                registry = portal.call(open_registry)
                stack.callback(portal.call, registry.close)
                return ViaAsync(portal, registry)

            yield make


@pytest.mark.parametrize("fault", [_cuts, _resets, _sends(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")])
def test_a_transient_fault_is_retried(connect: Callable[..., ModelRegistry], fault: Talk) -> None:
    """The second attempt is answered."""
    with serving(fault, _sends(_ok(PRINCIPAL))) as url:
        assert connect(url=url, first_pause_s=0.01).principals.whoami().name == "admin"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (_cuts, ConnectionFailed),
        (_resets, ConnectionFailed),
        (_hangs, AnswerTimedOut),
        (_sends(b"SSH-2.0-OpenSSH\r\n"), ConnectionFailed),
        (_sends(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"), ServerFailed),
    ],
)
def test_a_lasting_fault_raises_an_error_of_the_library(
    connect: Callable[..., ModelRegistry], fault: Talk, error: type[RegistryError]
) -> None:
    """It describes the fault and the number of attempts."""
    with serving(fault, fault) as url:
        registry = connect(url=url, attempts=2, attempt_timeout_s=0.2, first_pause_s=0.01)
        with pytest.raises(error, match="tried 2 times"):
            registry.principals.whoami()


@pytest.mark.parametrize(
    "answer",
    [
        _ok(b"not json"),
        _ok(b"{}"),
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\nnope",
    ],
)
def test_an_answer_that_is_not_from_a_registry_raises_protocol_error(
    connect: Callable[..., ModelRegistry], answer: bytes
) -> None:
    """A redirect is not followed: it could lead the token elsewhere."""
    with serving(_sends(answer)) as url, pytest.raises(ProtocolError):
        connect(url=url, attempts=1).principals.whoami()


@pytest.mark.parametrize("begin", [0, len(_ok(PRINCIPAL)) - len(PRINCIPAL)], ids=["head", "body"])
def test_the_attempt_timeout_ends_an_answer_that_trickles_in(connect: Callable[..., ModelRegistry], begin: int) -> None:
    """Each byte comes in time, but the whole head would take ten seconds, and the body seventeen."""
    with serving(_trickles(begin)) as url, pytest.raises(AnswerTimedOut) as failed:
        connect(url=url, attempts=1, attempt_timeout_s=0.5).principals.whoami()
    assert 0.5 <= failed.value.tried[0].took_s < 2.5


def test_a_refused_connection_raises_an_error_with_the_address(connect: Callable[..., ModelRegistry]) -> None:
    """It is an error of the library, with both attempts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ConnectionFailed, match=url) as failed:
        connect(url=url, attempts=2, first_pause_s=0.01).principals.whoami()
    assert len(failed.value.tried) == 2


def test_the_token_is_in_no_repr_and_no_error(connect: Callable[..., ModelRegistry], tmp_path: Path) -> None:
    """Neither in the repr of the configuration nor in an error."""
    config = RegistryConfig(url="http://127.0.0.1:1", token="mrg_secret", attempts=1)
    assert "mrg_secret" not in repr(config)
    with pytest.raises(ConnectionFailed) as failed:
        connect(url=config.url, token=config.token, attempts=1).principals.whoami()
    assert "mrg_secret" not in repr(failed.value) + str(failed.value)
