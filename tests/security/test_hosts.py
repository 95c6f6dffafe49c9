"""Requests that are not meant for this server: another host, another version of HTTP, or a doubtful target."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from registry_server.serving import StartFailed, create_server
from registry_server.settings import Settings
from tests.security.servers import serving
from tests.security.test_sockets import Served, code, status


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start one server that also accepts the host name of a proxy."""
    with serving(tmp_path_factory.mktemp("hosts"), allowed_hosts=("Registry.Example",)) as running:
        yield running.outside


def send(served: Served, host: str | None = "localhost", target: str = "/health/live", *more: str) -> bytes:
    """Send a request that needs no token, and return the response."""
    lines = [f"GET {target} HTTP/1.1", *([] if host is None else [f"Host: {host}"]), *more, "", ""]
    return served.send_raw("\r\n".join(lines).encode("latin-1"))


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:1", "LOCALHOST:8321", "localhost.", "127.0.0.1", "127.0.0.1:65535"),
        *("[::1]", "[::1]:8321", "[0:0:0:0:0:0:0:1]", "registry.example", "REGISTRY.example.:443"),
    ],
)
def test_the_own_names_of_the_server_are_accepted(served: Served, host: str) -> None:
    """Names of loopback and names that an operator has added are accepted in every spelling, with every port."""
    assert status(send(served, host)) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8321", "localhost.evil.example", "evillocalhost", "xregistry.example"),
        *("registry.example.evil", "127.0.0.2", "127.1", "2130706433", "0.0.0.1", "[::]", "[::ffff:127.0.0.1]"),
    ],
)
@pytest.mark.parametrize("target", ["/health/live", "/openapi.json", "/v1/models", "/metrics"])
def test_the_name_of_another_host_is_misdirected(served: Served, host: str, target: str) -> None:
    """Every path refuses a foreign host, as a browser sends it after DNS rebinding."""
    answer = send(served, host, target, "X-Forwarded-Host: localhost", "Forwarded: host=localhost")
    assert (status(answer), code(answer)) == (421, "misdirected_request")
    refusal = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (refusal["field"], refusal["value"]) == ("Host", host)
    assert "--allowed-host" in refusal["remedy"]


@pytest.mark.parametrize(
    "host",
    [
        *("", " ", "user@localhost", "localhost:", "localhost:abc", "localhost:-1", "localhost:65536", "localhost:1:2"),
        *("::1", "[::1", "::1]", "[::1]x", "[::1%25lo]", "[::g]", "[]", "localhost..", ".localhost", "local host"),
        *("localhost,localhost", "localhost/", "localhost?", "localhost#", "localhos%74", "\xe9", "a" * 300),
    ],
)
def test_an_invalid_host_header_is_malformed(served: Served, host: str) -> None:
    """Different programs could read such a header as different hosts, so it gets 400."""
    answer = send(served, host)
    assert (status(answer), code(answer)) == (400, "malformed_request")


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_exactly_one_host_header_is_required(served: Served, hosts: list[str], version: str) -> None:
    """A request without a Host header or with two, even equal ones, gets 400."""
    head = f"GET /health/live HTTP/{version}\r\n" + "".join(f"Host: {host}\r\n" for host in hosts)
    answer = served.send_raw(head.encode() + b"\r\n")
    assert (status(answer), code(answer)) == (400, "malformed_request")


def test_the_host_is_checked_for_each_request_of_a_connection(served: Served) -> None:
    """A valid host in the first request does not excuse a foreign host in the second."""
    good, bad = (f"GET /health/live HTTP/1.1\r\nHost: {host}\r\n\r\n" for host in ("localhost", "evil.example"))
    with served.connect() as connection:
        connection.sendall(good.encode())
        assert status(connection.recv(2**16)) == 200
        connection.sendall(bad.encode())
        assert status(connection.recv(2**16)) == 421


@pytest.mark.parametrize("version", ["2.0", "0.9", "3.0", "1.2", "1.9", "2", "9.9"])
def test_another_version_of_http_is_refused(served: Served, version: str) -> None:
    """A request with any version but HTTP/1.0 and HTTP/1.1 gets 400."""
    answer = served.send_raw(f"GET /health/live HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
    assert (status(answer), code(answer)) == (400, "malformed_request")


def test_http_1_0_is_accepted(served: Served) -> None:
    """Old proxies send HTTP/1.0."""
    assert status(served.send_raw(b"GET /health/live HTTP/1.0\r\nHost: localhost\r\n\r\n")) == 200


@pytest.mark.parametrize(
    "target",
    [
        *("/health/live#", "/health/live#x", "/#/health/live", "/health/live?x#y", "*", "localhost:80", "localhost"),
        *("health/live", "?x", "", "http://localhost", "http://user@localhost/health/live", "ftp://localhost/x"),
        *("http:///health/live", "http://localhost/health/live#x", "/health/\x7flive", "/health/\xe9", "/health/\x01"),
        *("http://127.0.0.1/health/live", "file:///etc/passwd", "http://localhost:x/health/live", "/health\\\x00live"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "CONNECT"])
def test_a_target_that_is_not_a_path_is_malformed(served: Served, method: str, target: str) -> None:
    """A target with a fragment, a user, another scheme or control characters gets 400."""
    answer = served.send_raw(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("latin-1"))
    assert (status(answer), code(answer)) == (400, "malformed_request")


@pytest.mark.parametrize("target", ["http://localhost/health/live", "HTTPS://LOCALHOST:1/health/live"])
def test_an_absolute_target_of_this_server_is_accepted(served: Served, target: str) -> None:
    """RFC 9112, section 3.2.2, requires servers to accept an absolute target."""
    assert status(send(served, "localhost", target)) == 200


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_an_absolute_target_of_another_host_is_misdirected(served: Served, host: str) -> None:
    """The host in the target counts, whatever the Host header contains."""
    assert status(send(served, host, "http://evil.example/health/live")) == 421


@pytest.mark.parametrize("name", ["", "a b", "http://registry.example", "*", "registry.example/x", "[::1"])
def test_an_invalid_allowed_host_is_refused_at_startup(tmp_path: Any, name: str) -> None:
    """The server does not start with an invalid --allowed-host."""
    with pytest.raises(StartFailed, match="--allowed-host"):
        create_server(Settings(data=tmp_path, port=0, allowed_hosts=(name,)))


def test_a_refused_host_ends_the_connection(served: Served) -> None:
    """The server does not read further requests on the connection."""
    with served.connect() as connection:
        connection.settimeout(10)
        connection.sendall(
            b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        answer = b""
        while received := _received(connection):
            answer += received
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(2**16)
    except ConnectionResetError:
        return b""
