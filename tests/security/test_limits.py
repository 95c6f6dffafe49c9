"""Clients that send too much, too slowly or nothing, or disconnect: none of them holds a connection for long."""

import contextlib
import hashlib
import itertools
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import httpx
import pytest

from common_lib import HttpRegistry, RegistryConfig
from registry_server.serving import RegistryServer, create_server
from registry_server.settings import Settings
from tests.security.test_sockets import DEADLINE_S, MIB, Served, code, status
from tests.security.worlds import LogRecorder, create_example_model, logged
from tests.support.steps import version_of

HEAD_S, BODY_S, MOST = 1.0, 1.5, 12
LARGE = 24 * MIB
GET = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n"


class Running(NamedTuple):
    """A server with short limits: its HTTP interface and its object in this process."""

    outside: Served
    inside: RegistryServer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start one server for all tests of this file, with a model whose version 3 is large."""
    data = tmp_path_factory.mktemp("limited")
    limits = {"max_connections": MOST, "head_timeout_s": HEAD_S, "body_timeout_s": BODY_S, "keep_alive_s": 1}
    inside = create_server(Settings(data=data, port=0, access_log=False, **limits))
    started = threading.Event()
    inside.on_start = started.set
    thread = threading.Thread(target=inside.run)
    thread.start()
    try:
        assert started.wait(DEADLINE_S)
        outside = Served(inside.url, data)
        with HttpRegistry(RegistryConfig(url=inside.url, token=outside.token)) as registry:
            create_example_model(registry, "a")
            version_of(registry, "a", b"x" * LARGE)
        yield Running(outside, inside)
    finally:
        inside.should_exit = True
        thread.join(DEADLINE_S)


@pytest.fixture
def served(running: Running) -> Served:
    """Provide the HTTP interface of the server."""
    return running.outside


@pytest.fixture(autouse=True)
def log() -> Iterator[LogRecorder]:
    """Record the log of one test, and check that no error of the server was logged."""
    with logged() as recorder:
        yield recorder
    assert recorder.failures == []


def send_slowly(connection: socket.socket, pieces: Iterator[bytes], every_s: float = 0.05) -> bytes:
    """Send pieces one by one with pauses until the server closes the connection, and return its responses."""
    answer, end = b"", time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if select.select([connection], [], [], every_s)[0]:
            received = connection.recv(MIB)
            if not received:
                return answer
            answer += received
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(next(pieces, b""))
    raise AssertionError("the server did not close the connection")


def head(*headers: bytes) -> bytes:
    """Build the head of a request that needs no token."""
    return GET + b"".join(header + b"\r\n" for header in headers) + b"\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        GET + b"x: " + b"y" * 2**16,
        head(b"x: " + b"y" * 2**16),
        head(*[b"x: " + b"y" * 2**10] * 70),
        b"GET /health/live?" + b"y" * 2**16,
        b"GET /" + b"y" * 2**16 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        head(*[b"x: y"] * 100),
    ],
    ids=["unfinished", "one header", "headers", "query", "path", "number"],
)
def test_a_large_head_is_refused(served: Served, raw: bytes) -> None:
    """A head of more than 64 KiB or 100 headers gets 431, whether it is complete or not."""
    answer = served.send_raw(raw)
    assert (status(answer), code(answer)) == (431, "head_too_large")
    assert b"connection: close" in answer


@pytest.mark.parametrize("begin", [b"1;", b"1\r\nx\r\n0\r\nx: "], ids=["extension of a chunk", "trailer"])
def test_chunk_extensions_and_trailers_are_limited(served: Served, begin: bytes) -> None:
    """Chunk extensions and trailers have the same limit as a head, because the parser stores them in the same way."""
    raw = served.head(f"PUT /v1/blobs/{'0' * 64}", "transfer-encoding: chunked") + begin
    # More than one read of 256 KiB, because bytes that arrive with bytes of the body are not counted.
    answer = served.send_raw(raw, *[b"y" * 2**14] * 40)
    assert (status(answer), code(answer)) == (431, "head_too_large")
    served.wait_for_empty_staging()


def test_a_head_in_several_pieces_is_measured_as_a_whole(served: Served) -> None:
    """The limit counts all pieces of a head, also if it starts in the packet of another request."""
    pieces = [head() + GET, *[b"x: " + b"y" * 2**12 + b"\r\n"] * 18]
    with served.connect() as connection:
        answer = send_slowly(connection, iter(pieces), every_s=0.01)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 431" in answer
    answer = served.send_raw(head() + GET + b"x: " + b"y" * 2**16, b"\r\n\r\n" + head(), end=True)
    assert answer.count(b"HTTP/1.1 200") == 1


def test_a_head_below_the_limits_is_accepted(served: Served) -> None:
    """A head of 99 headers and a head of 63 KiB are accepted."""
    assert status(served.send_raw(head(*[b"x: y"] * 98))) == 200
    assert status(served.send_raw(head(b"x: " + b"y" * 63 * 2**10))) == 200


def test_trailers_are_not_headers(served: Served) -> None:
    """A token in the trailers does not authenticate the request, even if it arrives together with the head."""
    trailer = f"authorization: Bearer {served.token}\r\n\r\n".encode()
    raw = b"GET /v1/whoami HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + trailer
    answer = served.send_raw(raw)
    assert (status(answer), code(answer)) == (401, "unauthenticated")


def test_malformed_http_is_refused_with_a_problem(served: Served) -> None:
    """Bytes that are not HTTP get 400 with a problem document."""
    answer = served.send_raw(b"what?\r\n\r\n")
    assert (status(answer), code(answer)) == (400, "malformed_request")


def test_a_websocket_upgrade_is_ignored(served: Served) -> None:
    """The server answers such a request as plain HTTP, because no limit would apply to a WebSocket."""
    upgrade = (b"connection: upgrade", b"upgrade: websocket", b"sec-websocket-version: 13", b"sec-websocket-key: eA==")
    assert status(served.send_raw(head(*upgrade))) == 200


@pytest.mark.parametrize("begin", [b"", b"\r\n", b"G"])
def test_a_head_must_arrive_in_time(served: Served, begin: bytes) -> None:
    """A client that sends nothing gets no response; one that sends single bytes gets a 4xx."""
    began = time.monotonic()
    with served.connect() as connection:
        answer = send_slowly(connection, itertools.chain([begin], itertools.repeat(begin and b"E")))
    assert time.monotonic() - began < HEAD_S + 2
    if begin:
        assert (status(answer), code(answer)) in {(408, "request_timeout"), (400, "malformed_request")}
    else:
        assert answer == b""


def test_a_slow_head_is_refused_with_408(served: Served) -> None:
    """The time limit of a second request on a connection begins with its first byte."""
    with served.connect() as connection:
        drops = (bytes([byte]) for byte in GET + b"x: " + b"y" * 10_000)
        answer = send_slowly(connection, itertools.chain([head()], drops))
    first, found, second = answer.partition(b"HTTP/1.1 408")
    assert status(first) == 200
    assert code(found + second) == "request_timeout"


@pytest.mark.parametrize("drop", [b"", b"x"])
def test_a_stalled_body_is_refused(served: Served, drop: bytes) -> None:
    """A body without progress, or with a single byte now and then, gets 408."""
    path = f"/v1/blobs/{hashlib.sha256(b'x').hexdigest()}"
    with served.connect() as connection:
        begin = served.head(f"PUT {path}", "content-length: 100000") + b"x"
        answer = send_slowly(connection, itertools.chain([begin], itertools.repeat(drop)))
    assert (status(answer), code(answer)) == (408, "request_timeout")
    served.wait_for_empty_staging()


def test_a_progressing_body_may_take_long(served: Served) -> None:
    """A body that arrives at the minimum rate may take longer than the time limit for progress."""
    content = b"x" * 2**15
    path = f"/v1/blobs/{hashlib.sha256(content + b'x').hexdigest()}"
    pieces = [content[at : at + 2**11] for at in range(0, 2**15, 2**11)]
    began = time.monotonic()
    with served.connect() as connection:
        connection.sendall(served.head(f"PUT {path}", f"content-length: {len(content)}", "connection: close"))
        answer = send_slowly(connection, iter(pieces), every_s=BODY_S / 8)
    assert time.monotonic() - began > BODY_S
    assert (status(answer), code(answer)) == (422, "digest_mismatch")


def test_a_slow_reader_does_not_exceed_the_head_timeout(served: Served) -> None:
    """The time limit for a head does not apply while the client still reads a response."""
    with served.connect() as connection:
        connection.sendall(served.head("GET /v1/models/a/versions/3/files/model.bin", "connection: close"))
        size, pause_s = len(connection.recv(1)), (HEAD_S + BODY_S) / 4
        for _ in range(6):
            select.select([], [], [], pause_s)
            size += len(connection.recv(MIB))
        while received := connection.recv(MIB):
            size += len(received)
    assert size > LARGE


def test_the_rest_of_a_refused_body_is_read_for_a_limited_time(served: Served) -> None:
    """The server closes the connection soon after a refusal, however fast the rest of the body arrives."""
    begin = b"PUT /v1/blobs/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000000000\r\n\r\n"
    with served.connect() as connection:
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            answer = send_slowly(connection, itertools.chain([begin], itertools.repeat(b"x" * 2**12)), every_s=0.01)
    assert answer.count(b"HTTP/1.1") <= 1


def test_an_idle_connection_is_closed_without_a_response(served: Served) -> None:
    """A client could mistake a 408 on an idle connection for the response to its next request."""
    with served.connect() as connection:
        answer = send_slowly(connection, iter([head()]))
    assert answer.count(b"HTTP/1.1") == 1


def test_connections_beyond_the_limit_are_refused(served: Served) -> None:
    """They get 503 with a problem at once, and are accepted again after other clients disconnect."""
    with contextlib.ExitStack() as stack:
        answers = b""
        for _ in range(MOST):
            stack.enter_context(served.connect())
        for _ in range(3):
            answer = served.send_raw(head())
            assert (status(answer), code(answer)) == (503, "too_many_connections")
            assert b"\r\nretry-after: 1\r\n" in answer
            answers += answer
    assert answers.count(b"connection: close") == answers.count(b"retry-after: 1") == 3
    wait(lambda: status(served.send_raw(head())) == 200)


def wait(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true; each check sends a request."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end


def test_responses_are_sent_without_delay(running: Running) -> None:
    """A keep-alive connection has TCP_NODELAY; without it a response in two pieces would wait 40 ms for an ACK."""
    with running.outside.connect() as connection:
        connection.sendall(head())
        assert connection.recv(MIB)
        (ours,) = (one for one in running.inside.server_state.connections if one.client == connection.getsockname())
        found = ours.transport.get_extra_info("socket")
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("read", [1, 3 * MIB])
@pytest.mark.parametrize("reset", [False, True])
def test_an_aborted_download_logs_no_error(running: Running, log: LogRecorder, read: int, *, reset: bool) -> None:
    """The server logs nothing whether the client closes or resets the connection."""
    raw = running.outside.head("GET /v1/models/a/versions/3/files/model.bin")
    for _ in range(5):
        with running.outside.connect() as connection:
            connection.sendall(raw)
            size = 0
            while size < read:
                received = connection.recv(read)
                assert received
                size += len(received)
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait(lambda: running.outside.get("/health/live").is_success and not running.inside.server_state.tasks)
    assert log.lines == []


def test_an_unexpected_body_does_not_stop_a_download(running: Running, log: LogRecorder) -> None:
    """The server ignores the body of a GET, in however many pieces it arrives."""
    raw = running.outside.head("GET /v1/models/a/versions/3/files/model.bin", "transfer-encoding: chunked")
    with running.outside.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(raw)
        size = len(connection.recv(1))
        for _ in range(1_500):
            connection.sendall(b"1\r\nx\r\n")
            # A pause, so that most chunks arrive separately; without it the test would only be less strict.
            select.select([], [], [], 0.0003)
        connection.sendall(b"0\r\n\r\n")
        while size < LARGE:
            received = connection.recv(MIB)
            assert received
            size += len(received)
    assert log.lines == []


@pytest.mark.parametrize("path", ["/v1/models/a/resolve/latest", "/v1/models/a", "/v1/whoami"])
@pytest.mark.parametrize("second", ["", "Bearer mrg_unknown", "same"])
def test_two_tokens_do_not_authenticate(served: Served, path: str, second: str) -> None:
    """Two Authorization headers get 401 in any order, as a proxy may have checked the other one."""
    good = f"Bearer {served.token}"
    for values in itertools.permutations((good, second.replace("same", good))):
        lines = [f"GET {path} HTTP/1.1", "host: localhost", *(f"authorization: {value}" for value in values), "", ""]
        answer = served.send_raw("\r\n".join(lines).encode())
        assert (status(answer), code(answer)) == (401, "unauthenticated")


@pytest.mark.parametrize("slash", ["%2f", "%2F"])
@pytest.mark.parametrize(
    "path",
    [
        *("/v1/models/a{}b", "/v1/models/a{}versions", "/v1/models/a{}versions{}1", "/v1/models/a/versions{}1"),
        *("/v1/models/a{}resolve/latest", "/v1/models/a/resolve{}latest", "/v1/models{}a", "/v1{}whoami"),
        *("/v1/models/a/versions/3/files{}model.bin", "/v1/models/a/versions/3/files/{}model.bin"),
        *("/v1/models/a/versions/3/files/x{}..{}model.bin", "/v1/models/a/aliases{}shadow", "/health{}live"),
    ],
)
def test_an_encoded_slash_does_not_separate_segments(served: Served, path: str, slash: str) -> None:
    """An encoded slash is a part of a name, and such a name is invalid."""
    assert served.get(path.replace("{}", "/").replace("/x/../", "/")).status_code in {200, 404}
    answer = served.get(path.replace("{}", slash))
    assert answer.status_code in {404, 422}
    assert answer.json()["code"] in {"not_found", *(f"invalid_{kind}" for kind in ("name", "path", "reference"))}
    assert answer.headers["content-type"] == "application/problem+json"


def test_httpx_receives_the_refusal_of_a_large_head(served: Served) -> None:
    """Httpx reads the response although it is still sending the request."""
    answer = httpx.get(f"{served.url}/v1/models", headers={"x-long": "x" * 2**16})
    assert (answer.status_code, answer.json()["code"]) == (431, "head_too_large")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
