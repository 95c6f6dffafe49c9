"""Cancelled work on files: neither the server nor the client closes a file that a thread still uses."""

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from common_lib import Cache
from common_lib.types.artifacts import FileEntry
from registry_server.infrastructure.filesystem_blobs import FilesystemBlobs
from registry_server.testing import PortalTransport, TestBackend
from registry_server.threads import run_in_thread, wait_until_done

CONTENT = b"weights" * 1_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2
PREFIX = hashlib.sha256(CONTENT[:HALF]).hexdigest()
LONGEST_S = 30.0


class BlockedCall:
    """A system call that waits until it is released, and records whether its descriptor is still the same file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self._real = getattr(os, name)
        self.entered = threading.Event()
        self.release = threading.Event()
        self.same: list[bool] = []
        self.resumed = threading.Event()
        monkeypatch.setattr(os, name, self)

    def __call__(self, descriptor: int, *args: Any) -> Any:
        """Wait at the first call, then make the real system call."""
        if self.entered.is_set():
            return self._real(descriptor, *args)
        before = os.fstat(descriptor)
        self.entered.set()
        assert self.release.wait(LONGEST_S)
        try:
            after = os.fstat(descriptor)
            self.same.append((before.st_dev, before.st_ino) == (after.st_dev, after.st_ino))
        except OSError:
            self.same.append(False)
        self.resumed.set()
        return self._real(descriptor, *args)


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    """Yield bytes as they come from the network."""
    yield content


def part(store: FilesystemBlobs, start: int) -> Awaitable[int]:
    """Append one half of the content to an upload."""
    content, end = (CONTENT[:HALF], PREFIX) if start == 0 else (CONTENT[HALF:], SHA256)
    begin = PREFIX if start else hashlib.sha256().hexdigest()
    return store.append_part(
        "alice.up", chunks(content), start=start, start_sha256=begin, limit=HALF, prefix_sha256=end
    )


async def whole(store: FilesystemBlobs) -> None:
    """Store the content."""
    await store.put(SHA256, chunks(CONTENT), len(CONTENT))


async def half(store: FilesystemBlobs) -> None:
    """Store the first half as a part and drop its running digest, like a restart of the server."""
    await part(store, 0)
    store._upload_digests.clear()


async def both(store: FilesystemBlobs) -> None:
    """Store both parts."""
    await part(store, 0)
    await part(store, HALF)


async def nothing(store: FilesystemBlobs) -> None:
    """Store nothing."""


async def whole_and_parts(store: FilesystemBlobs) -> None:
    """Store the content as a blob and also as a complete upload."""
    await whole(store)
    await both(store)


Operation = Callable[[FilesystemBlobs], Awaitable[Any]]
OPERATIONS: dict[str, tuple[Operation, str, Operation]] = {
    "put: written": (nothing, "write", lambda store: store.put(SHA256, chunks(CONTENT), len(CONTENT))),
    "put: synced": (nothing, "fsync", lambda store: store.put(SHA256, chunks(CONTENT), len(CONTENT))),
    "put: compared": (whole, "read", lambda store: store.put(SHA256, chunks(CONTENT), len(CONTENT))),
    "put_many: written": (nothing, "write", lambda store: store.put_many({SHA256: CONTENT})),
    "put_many: synced": (nothing, "fsync", lambda store: store.put_many({SHA256: CONTENT})),
    "append_part: written": (nothing, "write", lambda store: part(store, 0)),
    "append_part: synced": (nothing, "fsync", lambda store: part(store, 0)),
    "append_part: resumed": (half, "read", lambda store: part(store, HALF)),
    "publish_upload: synced": (both, "fsync", lambda store: store.publish_upload("alice.up", SHA256)),
    "publish_upload: compared": (whole_and_parts, "read", lambda store: store.publish_upload("alice.up", SHA256)),
    "verify": (whole, "read", lambda store: store.verify(SHA256)),
    "sync_restored_blob": (whole, "fsync", lambda store: store.sync_restored_blob(SHA256)),
}


@pytest.fixture
def store(tmp_path: Path) -> FilesystemBlobs:
    """Provide an empty blob store."""
    found = FilesystemBlobs(tmp_path / "blobs")
    found.open_store()
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("path", OPERATIONS)
async def test_a_cancelled_request_leaves_the_descriptor_to_its_thread(
    store: FilesystemBlobs, monkeypatch: pytest.MonkeyPatch, path: str, times: int
) -> None:
    """A request ends only after its thread, also when it is cancelled several times; the store stays usable."""
    prepare, call, operation = OPERATIONS[path]
    await prepare(store)
    blocked = BlockedCall(monkeypatch, call)
    task = asyncio.ensure_future(operation(store))
    try:
        assert await asyncio.to_thread(blocked.entered.wait, LONGEST_S)
        for _ in range(times):
            task.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        assert not task.done(), "the request ended before its thread"
    finally:
        blocked.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert blocked.resumed.is_set()
    assert blocked.same == [True]
    store._upload_digests.clear()
    await whole(store)
    assert await store.verify(SHA256) is None
    assert list((store._root / "staging").iterdir()) == []


@pytest.mark.anyio
async def test_the_thread_of_a_cancelled_request_ends_early(
    store: FilesystemBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stops hashing the earlier parts of an upload when the request is cancelled."""
    monkeypatch.setattr("registry_server.infrastructure.stream_to_file.CHUNK", 100)
    await half(store)
    blocked = BlockedCall(monkeypatch, "read")
    task = asyncio.ensure_future(part(store, HALF))
    assert await asyncio.to_thread(blocked.entered.wait, LONGEST_S)
    task.cancel()
    await asyncio.sleep(0)
    reads = 0
    real = blocked._real

    def counted(*args: Any) -> Any:
        nonlocal reads
        reads += 1
        return real(*args)

    blocked._real = counted
    blocked.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reads == 1


@pytest.mark.anyio
async def test_an_error_of_cancelled_work_is_not_reported_twice() -> None:
    """A cancelled caller gets the cancellation, and asyncio logs no warning; any other caller gets the error."""
    entered, release = threading.Event(), threading.Event()

    def fails() -> None:
        entered.set()
        release.wait(LONGEST_S)
        raise OSError("the disk failed")

    task = asyncio.ensure_future(run_in_thread(fails))
    await asyncio.to_thread(entered.wait, LONGEST_S)
    task.cancel()
    await asyncio.sleep(0)
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(OSError, match="the disk failed"):
        await run_in_thread(fails)
    await wait_until_done(asyncio.ensure_future(asyncio.sleep(0)))


def test_a_deadline_on_a_resumed_upload_leaves_the_descriptors_of_others_alone(
    model_registry_backend: TestBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request whose deadline passes during a read is answered after the read, which used the same file."""
    transport = PortalTransport(model_registry_backend._app, model_registry_backend._portal)
    headers = {"authorization": f"Bearer {model_registry_backend.token()}"}
    with httpx.Client(transport=transport, base_url="http://registry.test", headers=headers) as http:
        announced = http.put(f"/v1/uploads/{SHA256}", json={"size": len(CONTENT)})
        assert announced.status_code < 300, announced.text
        url = f"/v1/uploads/{SHA256}/parts/0"
        first = http.put(url, content=CONTENT[:HALF], headers={"x-prefix-sha256": PREFIX})
        assert first.status_code < 300, first.text
        model_registry_backend.env.blobs._upload_digests.clear()  # type: ignore[attr-defined]
        blocked = BlockedCall(monkeypatch, "read")
        began = time.monotonic()

        def release() -> None:
            blocked.entered.wait(LONGEST_S)
            while time.monotonic() < began + 0.1:
                blocked.resumed.wait(0.01)
            blocked.release.set()

        releasing = threading.Thread(target=release)
        releasing.start()
        url = f"/v1/uploads/{SHA256}/parts/{HALF}"
        late = {"x-request-deadline-ms": "25", "x-prefix-sha256": SHA256}
        answer = http.put(url, content=CONTENT[HALF:], headers=late)
        releasing.join(LONGEST_S)
        assert answer.json()["code"] == "deadline_exceeded"
        assert blocked.same == [True]
        again = http.put(url, content=CONTENT[HALF:], headers={"x-prefix-sha256": SHA256})
        assert again.status_code < 300, again.text
        assert again.json()["complete"]


def test_a_download_that_is_cancelled_closes_its_file_after_the_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client does not close its file while a thread writes to it."""
    entry = FileEntry(path="model.bin", size=len(CONTENT), sha256=SHA256)
    partial = Cache(tmp_path).start_download(entry)
    entered, release, order = threading.Event(), threading.Event(), []

    class Slow:
        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, view: memoryview) -> int:
            entered.set()
            release.wait(LONGEST_S)
            order.append("written")
            written: int = self._file.write(view)
            return written

        def close(self) -> None:
            order.append("closed")
            self._file.close()

    monkeypatch.setattr(partial, "_file", Slow(partial._file))
    writing = threading.Thread(target=partial.write, args=(CONTENT,))
    closing = threading.Thread(target=partial.close)
    writing.start()
    assert entered.wait(LONGEST_S)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    release.set()
    writing.join(LONGEST_S)
    closing.join(LONGEST_S)
    assert order == ["written", "closed"]
