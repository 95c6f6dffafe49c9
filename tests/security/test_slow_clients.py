"""Clients that read or send too slowly: the server ends their connections and serves others in bounded time."""

import contextlib
import hashlib
import itertools
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from common_lib import HttpRegistry, RegistryConfig
from tests.security.servers import Lines, Running, lines, serving
from tests.security.test_sockets import DEADLINE_S, MIB, Served, code, status
from tests.security.worlds import create_example_model
from tests.support.steps import version_of

ANSWER_S, BODY_S, MOST = 1.0, 1.0, 20
RATE = 16 * 1024
LARGE = 24 * MIB
FILE = "/v1/models/a/versions/3/files/model.bin"
OPENAPI = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start one server with short time limits, few connections and a large file."""
    limits = {"answer_timeout_s": ANSWER_S, "body_timeout_s": BODY_S, "max_connections": MOST}
    rates = {"min_answer_bytes_per_s": RATE, "min_body_bytes_per_s": RATE}
    with serving(tmp_path_factory.mktemp("slow"), **limits, **rates) as running:
        with HttpRegistry(RegistryConfig(url=running.inside.url, token=running.outside.token)) as registry:
            create_example_model(registry, "a")
            version_of(registry, "a", b"x" * LARGE)
        yield running


@pytest.fixture
def served(running: Running) -> Served:
    """Provide the HTTP interface of the server."""
    return running.outside


@pytest.fixture(autouse=True)
def log() -> Iterator[Lines]:
    """Record the log of one test, and check that it contains no traceback."""
    with lines() as recorder:
        yield recorder
    assert not [line for line in recorder.texts if "Traceback" in line]


def connect_with_small_buffer(served: Served) -> socket.socket:
    """Open a connection whose receive buffer is as small as the kernel allows."""
    parts = urlsplit(served.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.settimeout(DEADLINE_S)
    connection.connect((parts.hostname, parts.port))
    return connection


def wait_until(condition: Callable[[], bool]) -> float:
    """Wait until a condition is true, and return the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < DEADLINE_S
        select.select([], [], [], 0.02)
    return time.monotonic() - began


def is_serving(served: Served) -> bool:
    """Return whether the server responds to another client."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{served.url}/health/live").status_code == 200
    return False


def test_unread_responses_do_not_hold_connections(served: Served, log: Lines) -> None:
    """The server closes connections whose client reads nothing, and then serves other clients again."""
    with contextlib.ExitStack() as stack:
        wait_until(lambda: is_serving(served))
        for _ in range(MOST):
            connection = stack.enter_context(connect_with_small_buffer(served))
            with contextlib.suppress(OSError):
                connection.sendall(served.head(f"GET {FILE}") * 28)
        assert wait_until(lambda: is_serving(served)) < ANSWER_S * 2 + 3
        wait_until(lambda: len(log.security(message="answer_not_taken")) >= MOST)
    assert all(line["peer"].startswith("127.0.0.1:") for line in log.security(message="answer_not_taken"))


def test_a_response_must_be_read_at_the_minimum_rate(running: Running) -> None:
    """The limit covers one file, several files, many responses, and a client that reads a few bytes now and then."""
    served, began = running.outside, time.monotonic()
    file = served.head(f"GET {FILE}")
    connections = [connect_with_small_buffer(served) for _ in range(4)]
    addresses = {connection.getsockname() for connection in connections}
    for connection, raw in zip(connections, (file, file * 3, OPENAPI * 40, file), strict=True):
        connection.sendall(raw)

    def ends() -> bool:
        with contextlib.suppress(ConnectionResetError, BlockingIOError):
            connections[-1].recv(16, socket.MSG_DONTWAIT)
        return addresses.isdisjoint({one.client for one in tuple(running.inside.server_state.connections)})

    with contextlib.ExitStack() as stack:
        for connection in connections:
            stack.enter_context(connection)
        wait_until(lambda: not ends())
        wait_until(ends)
    assert time.monotonic() - began < ANSWER_S * 3 + 4
    wait_until(lambda: not running.inside.server_state.tasks)


def test_a_slow_but_steady_reader_gets_the_whole_response(served: Served) -> None:
    """The whole transfer may take many times the limit if each pause is shorter than the limit."""
    began, size = time.monotonic(), 0
    with connect_with_small_buffer(served) as connection:
        connection.sendall(served.head(f"GET {FILE}", "connection: close"))
        while time.monotonic() - began < ANSWER_S * 3:
            size += len(connection.recv(RATE // 2))
            select.select([], [], [], 0.1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        while received := connection.recv(MIB):
            size += len(received)
    assert size > LARGE


SLOW = [
    (target, rate, framing)
    for target in ("PUT /v1/blobs/" + "0" * 64, "POST /v1/models")
    for rate in (45, RATE // 4)
    for framing in ("content-length: 1000000", "transfer-encoding: chunked")
]


def test_a_body_below_the_minimum_rate_is_refused(served: Served) -> None:
    """It gets 408 after the time limit, on every route and with every framing."""
    began = time.monotonic()
    with ThreadPoolExecutor(len(SLOW)) as threads:
        answers = list(threads.map(lambda slow: _sent_slowly(served, *slow), SLOW))
    assert [(status(answer), code(answer)) for answer in answers] == [(408, "request_timeout")] * len(SLOW)
    assert time.monotonic() - began < BODY_S * 2 + 4
    served.wait_for_empty_staging()


def _sent_slowly(served: Served, target: str, rate: int, framing: str) -> bytes:
    piece = b"x" * max(1, rate // 20)
    drop = b"%x\r\n%b\r\n" % (len(piece), piece) if "chunked" in framing else piece
    with served.connect() as connection:
        connection.sendall(served.head(target, framing, "idempotency-key: 12345678"))
        return _dripped(connection, itertools.repeat(drop))


def test_a_body_at_twice_the_minimum_rate_is_accepted(served: Served) -> None:
    """The body may arrive with pauses, as on a slow mobile connection."""
    content = b"y" * (RATE * 2 * 3)
    path = f"/v1/blobs/{hashlib.sha256(content).hexdigest()}"
    pieces = (content[at : at + RATE] for at in range(0, len(content), RATE))
    with served.connect() as connection:
        connection.sendall(served.head(f"PUT {path}", f"content-length: {len(content)}", "connection: close"))
        answer = _dripped(connection, pieces, every_s=0.5)
    assert status(answer) == 201


def test_a_deadline_during_a_response_logs_no_error(running: Running, log: Lines) -> None:
    """The server closes the connection at once and logs no error."""
    with connect_with_small_buffer(running.outside) as connection:
        connection.sendall(running.outside.head(f"GET {FILE}", "x-request-deadline-ms: 200"))
        connection.recv(1)
        address = connection.getsockname()
        wait_until(lambda: all(one.client != address for one in tuple(running.inside.server_state.connections)))
    wait_until(lambda: not running.inside.server_state.tasks)
    assert not [line for line in log.texts if '"level":"error"' in line]


def test_a_logged_refusal_names_the_peer(served: Served, log: Lines) -> None:
    """The line of a refused connection has the peer and the request id of the response."""
    with served.connect() as connection:
        connection.sendall(b"what?\r\n\r\n")
        refusal = json.loads(connection.recv(2**16).partition(b"\r\n\r\n")[2])
        port = connection.getsockname()[1]
    line = log.one(request_id=refusal["request_id"])
    assert (line["peer"], line["code"], line["status"]) == (f"127.0.0.1:{port}", "malformed_request", 400)


def _dripped(connection: socket.socket, pieces: Iterator[bytes], every_s: float = 0.05) -> bytes:
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


def test_disconnects_of_every_kind_leave_nothing_behind(running: Running, log: Lines) -> None:
    """Clients close or reset connections before, within and after a head, a body, a refusal and a response."""
    served = running.outside
    whole = hashlib.sha256(b"z" * 4096).hexdigest()
    upload = served.head(f"PUT /v1/blobs/{whole}", "content-length: 4096") + b"z" * 4096
    chunks = served.head(f"PUT /v1/blobs/{whole}", "transfer-encoding: chunked") + b"5\r\nhello\r\n"
    garbage = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256))
    refused = b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    large = served.head("GET /health/live", "x-large: " + "y" * 2**17)
    download, many = served.head(f"GET {FILE}"), OPENAPI * 20
    behind, post = download + served.head("GET /v1/whoami"), served.head("POST /v1/models")
    for raw in (upload, chunks, garbage, refused, large, download, behind, many, post):
        for cut in sorted({0, 1, len(raw) // 2, len(raw) - 1, len(raw)}):
            for ending in ("close", "reset", "half", "half, then reset"):
                _leave(served, raw[:cut], ending)
    wait_until(lambda: not running.inside.server_state.tasks)
    wait_until(lambda: is_serving(served))
    # The server logs neither an error nor a warning, because it writes nothing to a disconnected client.
    assert [line for line in log.texts if '"level":"info"' not in line] == []


def _leave(served: Served, raw: bytes, ending: str) -> None:
    with served.connect() as connection, contextlib.suppress(OSError):
        connection.sendall(raw)
        if "half" in ending:
            connection.shutdown(socket.SHUT_WR)
        if "reset" in ending:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_a_download_ends_with_its_connection_despite_a_queued_request(
    running: Running, log: Lines, ending: str
) -> None:
    """The server stops to read and write a file when its client has disconnected."""
    question, raw = running.outside.head("GET /v1/whoami"), running.outside.head(f"GET {FILE}")
    for _ in range(5):
        with connect_with_small_buffer(running.outside) as connection:
            connection.sendall(question + raw + question)
            assert connection.recv(1) == b"H"
            wait_until(lambda: any(one.flow.write_paused for one in tuple(running.inside.server_state.connections)))
            if ending == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    wait_until(lambda: not running.inside.server_state.tasks)
    assert [line for line in log.texts if '"level":"info"' not in line] == []


def test_a_disconnect_during_a_refusal_logs_no_error(running: Running, log: Lines) -> None:
    """The server handles a client that disconnects before the end of the refusal."""
    threads = [threading.Thread(target=_storm, args=(running.outside,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: is_serving(running.outside))
    assert not [line for line in log.texts if "Traceback" in line or "OSError" in line]


def _storm(served: Served) -> None:
    for _ in range(60):
        _leave(served, b"what?\r\n\r\n", "reset")
