"""Uploads and downloads of clients that send concurrent requests, disconnect, or send incomplete data."""

import asyncio
import hashlib
import os
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from common_lib import HttpRegistry, RegistryConfig
from registry_server.infrastructure import stream_to_file
from registry_server.serving import running
from registry_server.settings import Settings
from tests.security.test_sockets import DEADLINE_S, MIB, Served, status
from tests.security.worlds import LogRecorder, logged
from tests.support.steps import version_of

LARGE = 256 * MIB


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start one server for all tests of this file, with a model whose version 1 is large."""
    data = tmp_path_factory.mktemp("served")
    with running(Settings(data=data, port=0, access_log=False, scrub_bytes_per_s=0)) as url:
        server = Served(url, data)
        with HttpRegistry(RegistryConfig(url=url, token=server.token)) as registry:
            registry.models.create("a", "regression")
            version_of(registry, "a", bytes(LARGE))
        yield server


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    """Provide an HTTP client with the admin's token."""
    with httpx.Client(base_url=served.url, headers={"authorization": f"Bearer {served.token}"}) as client:
        yield client


@pytest.fixture(autouse=True)
def log() -> Iterator[LogRecorder]:
    """Record the log of one test, and check that no error of the server was logged."""
    with logged() as recorder:
        yield recorder
    assert recorder.failures == []


@pytest.fixture
def content() -> bytes:
    """Provide bytes that no client has sent yet."""
    return os.urandom(3_000)


def sha256(content: bytes) -> str:
    """Return the SHA-256 digest of some bytes."""
    return hashlib.sha256(content).hexdigest()


def begin_upload(http: httpx.Client, content: bytes) -> dict[str, Any]:
    """Begin an upload of some bytes and return its resource."""
    answer = http.put(f"/v1/uploads/{sha256(content)}", json={"size": len(content)})
    assert answer.status_code == 200, answer.text
    refusal: dict[str, Any] = answer.json()
    return refusal


def send_part(http: httpx.Client, content: bytes, start: int, end: int) -> httpx.Response:
    """Send a part of some bytes and return the response."""
    prefix = {"x-prefix-sha256": sha256(content[:end])}
    return http.put(f"/v1/uploads/{sha256(content)}/parts/{start}", content=content[start:end], headers=prefix)


def send_in_two_halves(served: Served, content: bytes, end: int, meanwhile: Callable[[], None]) -> bytes:
    """Send a part in two halves, call `meanwhile` between them, and return the response."""
    digest = sha256(content)
    head = served.head(
        f"PUT /v1/uploads/{digest}/parts/0", f"content-length: {end}", f"x-prefix-sha256: {sha256(content[:end])}"
    )
    arriving = served.data / "blobs" / "uploads" / f"admin.{digest}"
    with served.connect() as connection:
        connection.sendall(head + content[: end // 2])
        wait(arriving.exists)
        meanwhile()
        connection.sendall(content[end // 2 : end])
        return connection.recv(MIB)


def wait(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


@pytest.mark.parametrize("end", [2_000, 3_000], ids=["a first part", "the only part"])
def test_an_upload_cannot_be_deleted_while_a_part_arrives(
    served: Served, http: httpx.Client, content: bytes, end: int
) -> None:
    """A DELETE during the part gets 409, and the stored bytes are complete."""
    begin_upload(http, content)

    def forget() -> None:
        refused = http.delete(f"/v1/uploads/{sha256(content)}")
        assert (refused.status_code, refused.json()["code"]) == (409, "request_in_flight")

    assert status(send_in_two_halves(served, content, end, forget)) == 200
    if end < len(content):
        assert send_part(http, content, end, len(content)).json()["complete"]
    assert http.post(f"/v1/blobs/{sha256(content)}/verify").json()["sound"]


@pytest.mark.parametrize("end", [2_000, 3_000], ids=["a first part", "the only part"])
def test_an_upload_succeeds_if_its_bytes_arrive_by_another_request(
    served: Served, http: httpx.Client, content: bytes, end: int
) -> None:
    """Two clients with one token can send the same bytes at once, in different ways."""
    begin_upload(http, content)

    def whole() -> None:
        assert http.put(f"/v1/blobs/{sha256(content)}", content=content).status_code == 201
        assert begin_upload(http, content)["complete"]

    assert status(send_in_two_halves(served, content, end, whole)) == 200
    assert begin_upload(http, content)["complete"]
    assert not list((served.data / "blobs" / "uploads").glob(f"*{sha256(content)}"))
    assert http.post(f"/v1/blobs/{sha256(content)}/verify").json()["sound"]


def test_two_parts_at_once_are_not_mixed(served: Served, http: httpx.Client, content: bytes) -> None:
    """A second part during the first one gets 409 with Retry-After."""
    begin_upload(http, content)

    def second() -> None:
        refused = send_part(http, content, 0, 5)
        assert (refused.status_code, refused.json()["code"]) == (409, "request_in_flight")
        assert refused.headers["retry-after"] == "1"

    assert status(send_in_two_halves(served, content, len(content), second)) == 200
    assert http.post(f"/v1/blobs/{sha256(content)}/verify").json()["sound"]


def test_an_upload_whose_file_is_lost_starts_again(served: Served, http: httpx.Client, content: bytes) -> None:
    """The client must send all bytes again, although the server still has the running digest."""
    begin_upload(http, content)
    assert send_part(http, content, 0, 2_000).status_code == 200
    (served.data / "blobs" / "uploads" / f"admin.{sha256(content)}").unlink()
    refused = send_part(http, content, 2_000, 3_000)
    assert (refused.status_code, refused.json()["code"]) == (404, "upload_not_found")
    assert begin_upload(http, content)["received"] == 0
    assert send_part(http, content, 0, 3_000).json()["complete"]
    assert http.post(f"/v1/blobs/{sha256(content)}/verify").json()["sound"]


def test_a_repeated_key_loses_no_bytes(http: httpx.Client, content: bytes) -> None:
    """The server ignores an idempotency key on blobs, as a replay would report bytes as stored that are not."""
    headers = {"idempotency-key": "the-same-key", "content-type": "application/vnd.model-registry.blobs"}
    for one in (content[:10], content[10:20]):
        body = struct.pack(">32sQ", hashlib.sha256(one).digest(), len(one)) + one
        assert http.post("/v1/blobs", content=body, headers=headers).json()["missing"] == []
        assert http.get(f"/v1/blobs/{sha256(one)}").status_code == 200


def test_no_bytes_are_read_for_an_aborted_download(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server reads only a small part of 256 MiB from the disk."""
    counted = CountedReads(monkeypatch)
    raw = served.head("GET /v1/models/a/versions/1/files/model.bin")
    with served.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        connection.sendall(raw)
        assert connection.recv(1)
    wait(lambda: counted.closed)
    assert counted.chunks < LARGE // MIB // 2


class CountedReads:
    """Counter of the chunks of blobs that this process reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from registry_server.infrastructure.filesystem_blobs import FilesystemBlobs  # noqa: PLC0415

        self.chunks, self.closed = 0, False
        plain = FilesystemBlobs.read_chunks

        def counting(store: FilesystemBlobs, *args: Any) -> Iterator[bytes]:
            try:
                for chunk in plain(store, *args):
                    self.chunks += 1
                    yield chunk
            finally:
                self.closed = True

        monkeypatch.setattr(FilesystemBlobs, "read_chunks", counting)


def test_a_cancelled_request_closes_no_file_that_a_thread_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed file descriptor could be reused, for example by the database, while the thread still writes."""
    began, go = threading.Event(), threading.Event()
    plain = stream_to_file.write_all

    def slow(descriptor: int, chunk: bytes) -> None:
        began.set()
        assert go.wait(DEADLINE_S)
        plain(descriptor, chunk)

    monkeypatch.setattr(stream_to_file, "write_all", slow)

    async def endless() -> AsyncIterator[list[bytes]]:
        while True:
            yield [b"x"]

    async def cancelled() -> int:
        descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
        task = asyncio.ensure_future(stream_to_file.write_stream(descriptor, hashlib.sha256(), endless(), 100))
        await asyncio.to_thread(began.wait, DEADLINE_S)
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
        assert not task.done()
        go.set()
        await asyncio.wait([task], timeout=DEADLINE_S)
        assert task.cancelled()
        size = os.fstat(descriptor).st_size
        os.close(descriptor)
        return size

    assert asyncio.run(cancelled()) >= 1
