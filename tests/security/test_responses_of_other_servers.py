"""Responses of another server than a registry: the error names the cause and the remedy in one sentence."""

import asyncio
import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from common_lib import AsyncHttpRegistry, HttpRegistry, RegistryConfig
from common_lib.errors import ConnectionFailed, ProtocolError, RegistryError, ServerFailed, TooLarge
from tests.security.hostile import BYTES, PROBLEM, VERSION, Handler, answering, error_of, get_version
from tests.support.cli import Cli

PAGE = b"<!DOCTYPE html><html><title>\x1b[2JPlease log in</title></html>"
BETWEEN: list[tuple[str, Handler, type[RegistryError], list[str]]] = [
    (
        "301",
        answering(b"", 301, "text/html", location="https://u:s3cr3t@other.example/x"),
        ProtocolError,
        ["redirects to", "other.example", "REGISTRY_URL"],
    ),
    ("302", answering(PAGE, 302, "text/html", location="/login"), ProtocolError, ["redirects to '/login'"]),
    ("307", answering(b"", 307, "text/plain", location="http://x" * 1000), ProtocolError, ["redirects to"]),
    (
        "301 to nowhere",
        answering(b"", 301, "text/html", location="https://a\x1b"),
        ConnectionFailed,
        ["an invalid address"],
    ),
    ("304", answering(b"", 304), ProtocolError, ["status 304"]),
    ("407", answering(PAGE, 407, "text/html"), ProtocolError, ["a user name and a password", "HTTP_PROXY"]),
    (
        "413",
        answering(PAGE, 413, "text/html", server="nginx\x1b"),
        ProtocolError,
        ["status 413", "nginx", "refuses a body of this size"],
    ),
    (
        "502",
        answering(PAGE, 502, "text/html"),
        ServerFailed,
        ["status 502", "cannot reach the registry", "Please log in"],
    ),
    ("504", answering(PAGE, 504, "text/html"), ServerFailed, ["status 504", "timed out"]),
    (
        "captive portal",
        answering(PAGE, 200, "text/html"),
        ProtocolError,
        ["status 200", "text/html", "not JSON", "NO_PROXY"],
    ),
    ("empty 200", answering(b"", 200), ProtocolError, ["status 200", "without a body"]),
    ("204", answering(b"", 204), ProtocolError, ["status 204", "without a body"]),
    ("text/plain", answering(b"It works!", 200, "text/plain"), ProtocolError, ["text/plain", "It works!"]),
    (
        "charset",
        answering(json.dumps(VERSION).encode("utf-16"), 200, "application/json; charset=utf-16"),
        ProtocolError,
        ["charset=utf-16", "UTF-8"],
    ),
    (
        "gzip",
        answering(gzip.compress(json.dumps(VERSION).encode()), 200, content_encoding="gzip"),
        ProtocolError,
        ["compressed ('gzip')", "proxy"],
    ),
    ("gzip unsaid", answering(gzip.compress(json.dumps(VERSION).encode()), 200), ProtocolError, ["not JSON"]),
    ("401 page", answering(PAGE, 401, "text/html"), ProtocolError, ["status 401", "text/html"]),
    ("other json", answering({"status": "maintenance"}), ProtocolError, ["ModelVersion", "model"]),
    (
        "no media type",
        lambda _: httpx.Response(404, stream=httpx.ByteStream(b"nope")),
        ProtocolError,
        ["no media type", "nope"],
    ),
]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "async"])
@pytest.mark.parametrize(("name", "handler", "kind", "words"), BETWEEN, ids=[each[0] for each in BETWEEN])
def test_a_response_of_another_server_is_identified(
    name: str, handler: Handler, kind: type[RegistryError], words: list[str], *, asynchronous: bool
) -> None:
    """The error contains the cause, the escaped and shortened text of the response, and a remedy."""
    error = error_of(handler, get_version, asynchronous=asynchronous)
    assert type(error) is kind, name
    for word in words:
        assert word in str(error)
    assert "s3cr3t" not in str(error)


def test_a_web_page_is_not_accepted_as_a_response() -> None:
    """A body in the response to a call without result raises ProtocolError with an unknown outcome."""
    error = error_of(answering(PAGE, 200, "text/html"), lambda r: r.aliases.delete("m1", "a", revision=1))
    assert isinstance(error, ProtocolError)
    assert error.outcome_unknown


@pytest.mark.parametrize("answer", [answering(b"", 204), answering(gzip.compress(BYTES), 200, content_encoding="gzip")])
def test_a_file_is_returned_unchanged_or_refused(answer: Handler) -> None:
    """Bytes that a proxy has changed are not written to the disk."""

    class Sink:
        held = 0
        taken = b""

        def begin(self, start: int) -> None:
            assert start == 0

        def write(self, chunk: bytes) -> None:
            self.taken += chunk

    sink = Sink()
    assert isinstance(error_of(answer, lambda r: r.artifacts.get_file("m1", 1, "model.bin", sink)), ProtocolError)
    assert sink.taken == b""


def test_too_large_from_the_registry_remains_a_registry_error() -> None:
    """A 413 of the registry raises TooLarge, unlike the 413 of a proxy."""
    problem = PROBLEM | {"code": "too_large", "status": 413}
    assert isinstance(error_of(answering(problem, 413, "application/problem+json"), get_version), TooLarge)


def test_the_command_line_escapes_text_of_another_server(tmp_path: Path) -> None:
    """Terminal escapes of another server do not reach the terminal."""
    page = b"HTTP/1.1 404 No\r\ncontent-type: text/html\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(PAGE)
    with serve_fixed_bytes(page + PAGE) as url:
        done = Cli(url, "t", tmp_path)("whoami", status=5)
    assert "\x1b" not in done.stderr
    assert "Please log in" in done.stderr


@contextlib.contextmanager
def serve_fixed_bytes(answer: bytes) -> Iterator[str]:
    """Run a server on a real socket that sends the same bytes to each request without encryption."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(65536)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


ALERT = b"\x15\x03\x01\x00\x02\x02\x16"
WIRE: list[tuple[bytes, bool, list[str]]] = [
    (b"SSH-2.0-OpenSSH_9.2\r\n", False, ["does not speak HTTP", "SSH-2.0"]),
    (b"<html>HTTP/0.9 was this short</html>\r\n", False, ["does not speak HTTP"]),
    (b"\x00\x01\x1b[2J\x02\r\n\r\n", False, ["does not speak HTTP"]),
    (ALERT, False, ["speaks TLS", "https://"]),
    (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", True, ["does not speak TLS", "http://"]),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc", False, ["peer closed"]),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc", False, ["peer closed"]),
    (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nabc", False, ["RemoteProtocolError"]),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 1" + b"0" * 5000 + b"\r\n\r\nabc", False, ["Error"]),
    (b'HTTP/1.1 200 OK\r\netag: "a\nb"\r\ncontent-length: 0\r\n\r\n', False, ["RemoteProtocolError"]),
    (b"HTTP/1.1 200 OK\r\nx-request-id: a\x00b\r\ncontent-length: 0\r\n\r\n", False, ["RemoteProtocolError"]),
    (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000, False, ["RemoteProtocolError"]),
    (b"", False, ["disconnected"]),
]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "async"])
@pytest.mark.parametrize(("answer", "encrypted", "words"), WIRE, ids=range(len(WIRE)))
def test_a_server_without_http_is_identified(
    answer: bytes,
    encrypted: bool,  # noqa: FBT001 - a table
    words: list[str],
    *,
    asynchronous: bool,
) -> None:
    """Over real sockets, the error names the cause and what to change in the address."""
    with serve_fixed_bytes(answer) as url:
        config = RegistryConfig(url=url.replace("http:", "https:") if encrypted else url, attempts=1, resolve=None)

        async def run() -> None:
            async with AsyncHttpRegistry(config) as registry:
                await registry.principals.whoami()

        def block() -> None:
            with HttpRegistry(config) as registry:
                registry.principals.whoami()

        with pytest.raises(ConnectionFailed) as failed:
            asyncio.run(run()) if asynchronous else block()
    assert str(failed.value).isprintable()
    for word in words:
        assert word in str(failed.value)
