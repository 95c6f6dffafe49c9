"""Behaviour that only real sockets show: interrupted bodies, endless bodies, pipelined requests, upgrades."""

import hashlib
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from registry_server.serving import running
from registry_server.settings import Settings
from tests.security.worlds import LogRecorder, logged

MIB = 2**20
DEADLINE_S = 20.0


class Served(NamedTuple):
    """The HTTP interface of a server, and its data folder."""

    url: str
    data: Path

    @property
    def token(self) -> str:
        """Token of the first admin."""
        return (self.data / "admin-token").read_text().strip()

    @property
    def staged(self) -> list[Path]:
        """Files in the staging folder."""
        return list((self.data / "blobs" / "staging").iterdir())

    def get(self, path: str) -> httpx.Response:
        """Send a GET request as the admin."""
        return httpx.get(self.url + path, headers={"authorization": f"Bearer {self.token}"})

    def stored_state(self) -> tuple[list[str], str]:
        """Return the names of all blob files, and the whole event log."""
        files = [file.name for file in (self.data / "blobs").rglob("*") if file.is_file()]
        return sorted(files), self.get("/v1/events?limit=1000").text

    def connect(self) -> socket.socket:
        """Open a connection."""
        parts = urlsplit(self.url)
        return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=DEADLINE_S)

    def head(self, line: str, *headers: str) -> bytes:
        """Build the head of a request with the admin's token."""
        usual = ("host: localhost", f"authorization: Bearer {self.token}", "content-type: application/json")
        return "\r\n".join([f"{line} HTTP/1.1", *usual, *headers, "", ""]).encode("latin-1")

    def send_raw(self, *parts: bytes, end: bool = False) -> bytes:
        """Send pieces and return the received bytes up to the end of the first response or of the connection."""
        with self.connect() as connection:
            for part in parts:
                # The rest is not needed after the server has sent a response.
                if select.select([connection], [], [], 0)[0]:
                    break
                connection.sendall(part)
            if end:
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while not _is_complete(answer):
                received = connection.recv(MIB)
                if not received:
                    break
                answer += received
            return answer

    def wait_for_staged_file(self) -> None:
        """Wait until the staging folder has a file; each check sends a request."""
        self._wait(lambda: bool(self.staged))

    def wait_for_empty_staging(self) -> None:
        """Wait until the staging folder is empty."""
        self._wait(lambda: not self.staged)

    def _wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end
            assert httpx.get(f"{self.url}/health/live").status_code == 200


def _is_complete(answer: bytes) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(found and lengths and len(body) >= int(lengths[0].partition(b":")[2]))


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start one server for all tests of this file; none of them may change it."""
    from tests.security.servers import serving  # noqa: PLC0415 - it needs `Served`

    with serving(tmp_path_factory.mktemp("served")) as both:
        yield both


@pytest.fixture(scope="module")
def served(running_server: Any) -> Served:
    """Provide the HTTP interface of the server."""
    outside: Served = running_server.outside
    return outside


def wait_until_idle(running_server: Any) -> None:
    """Wait until the server has closed every connection and has no task left."""
    # The server accepts connections in order: after this response it has seen all earlier ones.
    assert httpx.get(f"{running_server.outside.url}/health/live").status_code == 200
    end = time.monotonic() + DEADLINE_S
    while running_server.inside.server_state.connections or running_server.inside.server_state.tasks:
        assert time.monotonic() < end
        select.select([], [], [], 0.005)


@pytest.fixture(autouse=True)
def unchanged(served: Served, running_server: Any) -> Iterator[LogRecorder]:
    """Check that nothing was stored and no error of the server was logged."""
    before = served.stored_state()
    with logged() as log:
        yield log
        wait_until_idle(running_server)
        assert served.stored_state() == before
    assert log.failures == []


def status(answer: bytes) -> int:
    """Return the status of the first response."""
    return int(answer.split(b" ", 2)[1])


def code(answer: bytes) -> str:
    """Return the code of the problem in the first response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    found: str = json.loads(body)["code"]
    return found


@pytest.mark.parametrize("length", [1, 100, 3 * MIB])
def test_an_interrupted_upload_leaves_nothing(served: Served, length: int) -> None:
    """Neither staging nor the store keeps a file, and the server continues."""
    content = b"x" * length
    path = f"/v1/blobs/{hashlib.sha256(content + b'x').hexdigest()}"
    with served.connect() as connection:
        connection.sendall(served.head(f"PUT {path}", f"content-length: {length + 1}") + content)
        served.wait_for_staged_file()
    served.wait_for_empty_staging()
    assert served.get(path).status_code == 404


def test_an_upload_interrupted_between_chunks_leaves_nothing(served: Served) -> None:
    """Neither staging nor the store keeps a file of a body without an announced length."""
    path = f"/v1/blobs/{hashlib.sha256(b'abc').hexdigest()}"
    with served.connect() as connection:
        connection.sendall(served.head(f"PUT {path}", "transfer-encoding: chunked") + b"3\r\nabc\r\n")
        served.wait_for_staged_file()
    served.wait_for_empty_staging()
    assert served.get(path).status_code == 404


def test_an_incomplete_body_changes_nothing(served: Served) -> None:
    """The server ignores a body shorter than announced, even if it is valid JSON."""
    head = served.head("POST /v1/models", "idempotency-key: 12345678", "content-length: 100")
    assert served.send_raw(head, b'{"name":"new","type":"regression"}', end=True) == b""


@pytest.mark.parametrize("length", [8 * MIB + 1, 10 * 2**40, 2**63])
def test_a_length_beyond_the_limit_is_refused_before_anything_is_read(served: Served, length: int) -> None:
    """The refusal arrives within a second."""
    began = time.monotonic()
    answer = served.send_raw(served.head("POST /v1/models", "idempotency-key: 12345678", f"content-length: {length}"))
    assert (status(answer), code(answer)) == (413, "too_large")
    if length > 64 * 2**30:
        answer = served.send_raw(served.head(f"PUT /v1/blobs/{'0' * 64}", f"content-length: {length}"))
        assert (status(answer), code(answer)) == (413, "too_large")
    assert time.monotonic() - began < 1


def test_an_endless_body_is_refused_at_the_limit(served: Served) -> None:
    """The server counts the received bytes and stops at the limit."""
    head = served.head("POST /v1/models", "idempotency-key: 12345678", "transfer-encoding: chunked")
    chunk = b"10000\r\n" + b" " * 2**16 + b"\r\n"
    answer = served.send_raw(head, *[chunk] * 1_000)
    assert (status(answer), code(answer)) == (413, "too_large")


def test_bytes_after_a_body_are_the_next_request(served: Served) -> None:
    """The server reads a body only to its announced length."""
    head = served.head("POST /v1/models", "idempotency-key: 12345678", "content-length: 2")
    body = b'{},"name":"new","type":"regression"}'
    assert status(served.send_raw(head + body)) in {400, 422}
    answer = served.send_raw(head, body[:2])
    assert (status(answer), code(answer)) == (422, "invalid_request")


def test_no_body_is_read_without_a_token(served: Served) -> None:
    """The refusal arrives as soon as the head is complete."""
    head = b"POST /v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n"
    answer = served.send_raw(head)
    assert (status(answer), code(answer)) == (401, "unauthenticated")


def test_a_form_of_many_parts_is_refused_unread(served: Served) -> None:
    """No route parses forms, so a form costs the server no time."""
    form = (
        b"".join(b'--x\r\ncontent-disposition: form-data; name="f%d"\r\n\r\n1\r\n' % n for n in range(100_000))
        + b"--x--"
    )
    headers = {"authorization": f"Bearer {served.token}", "content-type": "multipart/form-data; boundary=x"}
    began = time.process_time()
    answer = httpx.post(f"{served.url}/v1/models", content=form, headers=headers | {"idempotency-key": "12345678"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    answer = httpx.put(f"{served.url}/v1/blobs/{'0' * 64}", content=form, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "digest_mismatch")
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET /v1/models\r\n\r\n",
        b"GET /v1/models HTTP/9.9\r\n\r\n",
        b"GET /v1/mod\x00els HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nbad header: y\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx-a: a\x00b\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n folded: y\r\n\r\n",
        b"POST /v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1e3\r\n\r\n",
        b"POST /v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/models HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: bad host\r\n\r\n",
        b"GET http://elsewhere.example/v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ],
)
def test_broken_http_is_refused(served: Served, raw: bytes) -> None:
    """Two lengths, or a length with chunks, would let a proxy and the registry read different requests."""
    assert 400 <= status(served.send_raw(raw)) < 500


@pytest.mark.parametrize("value", ["a\rSet-Cookie: x=1", "a b", "<script>", "x" * 65, "\u00e9", "a;b", ""])
def test_a_malformed_request_id_is_not_sent_back(served: Served, value: str) -> None:
    """The response has an id that the server has made instead."""
    answer = served.send_raw(served.head("GET /v1/whoami", f"x-request-id: {value}"))
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"set-cookie" not in head
    if status(answer) == 200:
        given = next(line for line in head.split(b"\r\n") if line.startswith(b"x-request-id:"))
        assert len(given.partition(b": ")[2]) == 32
    else:
        assert status(answer) == 400


@pytest.mark.parametrize("name", ["a%0d%0aSet-Cookie:%20x=1", "%E2%80%A8x", "%3Cscript%3E"])
def test_a_name_never_becomes_a_header(served: Served, name: str) -> None:
    """Line breaks and markup of an address reach neither the head of a response nor a page."""
    for path in (
        f"/v1/models/{name}",
        f"/v1/{name}",
        f"/v1/models/a/versions/1/files/{name}",
        f"/v1/models?order={name}",
    ):
        answer = served.get(path)
        assert answer.status_code in {404, 422}
        assert answer.headers["content-type"] == "application/problem+json"
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/v1/models/..",
            "/v1/models/../tokens",
            "/v1/models/a/../../tokens",
            "/v1/models/a/versions/1/files/../../x",
        ),
        *(
            "/../v1/tokens",
            "/v1/./tokens",
            "//v1/tokens",
            "/v1/models/a/versions/../aliases",
            "/v1\\tokens",
            "/v1/tokens;x",
        ),
    ],
)
def test_dots_in_an_address_are_not_resolved(served: Served, path: str) -> None:
    """The server treats dots as a name, and such a name is invalid."""
    answer = served.send_raw(served.head(f"GET {path}"))
    assert status(answer) in {404, 422}
    assert code(answer) in {"not_found", "model_not_found", "invalid_name", "invalid_path"}


def test_logs_hold_no_secrets(tmp_path: Path, capfd: pytest.CaptureFixture[str], unchanged: LogRecorder) -> None:
    """The lines of requests and of failures contain neither tokens nor queries nor bodies."""
    with running(Settings(data=tmp_path, port=0)) as url:
        other = Served(url, tmp_path)
        secrets = [other.token, "body-secret", "query-secret", "header-secret"]
        headers = {"authorization": f"Bearer {other.token}", "idempotency-key": "header-secret"}
        httpx.post(f"{url}/v1/models", json={"name": "new", "description": "body-secret"}, headers=headers)
        httpx.post(f"{url}/v1/models", content=b'{"body-secret', headers=headers)
        httpx.get(f"{url}/v1/models?owner=query-secret&access_token={other.token}", headers=headers)
        httpx.put(f"{url}/v1/blobs/{'0' * 64}", content=b"body-secret", headers=headers)
        issued = httpx.post(f"{url}/v1/principals/admin/tokens", json={}, headers=headers).json()
        secrets.append(issued["secret"])
    captured = capfd.readouterr()
    lines = captured.err + captured.out + "".join(unchanged.lines)
    assert '"path":"/v1/models"' in lines
    assert not [secret for secret in secrets if secret in lines]


def _responses(connection: socket.socket) -> Iterator[bytes]:
    """Yield each response of a connection until it ends."""
    held = b""
    while True:
        while not _is_complete(held):
            received = connection.recv(MIB)
            if not received:
                assert held == b""
                return
            held += received
        head, _, rest = held.partition(b"\r\n\r\n")
        length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))[15:])
        yield head + b"\r\n\r\n" + rest[:length]
        held = rest[length:]


def test_the_number_of_queued_requests_is_limited(served: Served) -> None:
    """The server answers a hundred of many pipelined requests and then closes the connection."""
    one = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(one * 300)
        answers = list(_responses(connection))
    assert 100 <= len(answers) <= 102
    assert {status(answer) for answer in answers} == {200}
    assert b"connection: close" in answers[-1].lower()


def test_a_queued_upload_is_read_only_as_it_is_consumed(served: Served) -> None:
    """The server buffers at most a piece of a queued body, so the client has to wait with the rest."""
    body = b"x" * (32 * MIB)
    path = f"/v1/blobs/{hashlib.sha256(b'other').hexdigest()}"
    question = served.head("GET /v1/whoami", "accept: application/json")
    with served.connect() as connection:
        connection.sendall(question * 50 + served.head(f"PUT {path}", f"content-length: {len(body)}"))
        sender = threading.Thread(target=connection.sendall, args=(body,))
        sender.start()
        answers = [status(answer) for _, answer in zip(range(51), _responses(connection), strict=False)]
        sender.join()
    assert answers == [200] * 50 + [422]


@pytest.mark.parametrize("framing", ["content-length: 5", "transfer-encoding: chunked"])
def test_an_upgrade_with_a_body_is_refused(served: Served, framing: str) -> None:
    """The server could take the body for a second request where a proxy sees only one."""
    upgrade = ("connection: upgrade", "upgrade: h2c")
    path = f"/v1/blobs/{hashlib.sha256(b'hello').hexdigest()}"
    with served.connect() as connection:
        connection.sendall(served.head(f"PUT {path}", framing, *upgrade))
        (refused,) = _responses(connection)
    assert (status(refused), code(refused)) == (400, "malformed_request")


def test_an_upgrade_request_is_the_last_of_its_connection(served: Served) -> None:
    """The server ignores all bytes after an upgrade request."""
    request = served.head("GET /v1/whoami", "connection: upgrade", "upgrade: websocket")
    with served.connect() as connection:
        connection.sendall(request + served.head("GET /v1/whoami"))
        (answer,) = _responses(connection)
    assert status(answer) == 200
    assert b"connection: close" in answer.lower()


def test_a_body_with_another_transfer_coding_is_refused(served: Served) -> None:
    """The digest would be that of the encoded bytes."""
    path = f"/v1/blobs/{hashlib.sha256(b'hello').hexdigest()}"
    answer = served.send_raw(served.head(f"PUT {path}", "transfer-encoding: gzip, chunked"), b"5\r\nhello\r\n0\r\n\r\n")
    assert (status(answer), code(answer)) == (400, "malformed_request")
