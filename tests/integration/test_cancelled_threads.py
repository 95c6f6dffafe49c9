"""Work on files that is cancelled: nothing is closed under a thread that still uses it, on either side."""

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
from registry_server.infrastructure.filesystem import FilesystemBlobs
from registry_server.testing import PortalTransport, TestBackend
from registry_server.threads import ended, in_thread

CONTENT = b"weights" * 1_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2
PREFIX = hashlib.sha256(CONTENT[:HALF]).hexdigest()
LONGEST_S = 30.0


class Held:
    """A call of the operating system that waits within, and looks whether its descriptor stays what it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self._real = getattr(os, name)
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.same: list[bool] = []
        self.left = threading.Event()
        monkeypatch.setattr(os, name, self)

    def __call__(self, descriptor: int, *args: Any) -> Any:
        """Wait once, then do what the call does."""
        if self.entered.is_set():
            return self._real(descriptor, *args)
        before = os.fstat(descriptor)
        self.entered.set()
        assert self.go_on.wait(LONGEST_S)
        try:
            after = os.fstat(descriptor)
            self.same.append((before.st_dev, before.st_ino) == (after.st_dev, after.st_ino))
        except OSError:
            self.same.append(False)
        self.left.set()
        return self._real(descriptor, *args)


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    """Yield bytes as they come from the network."""
    yield content


def part(store: FilesystemBlobs, start: int) -> Awaitable[int]:
    """Send one half of the content as a part of an upload."""
    content, end = (CONTENT[:HALF], PREFIX) if start == 0 else (CONTENT[HALF:], SHA256)
    begin = PREFIX if start else hashlib.sha256().hexdigest()
    return store.append_part("alice.up", chunks(content), start=start, start_sha256=begin, most=HALF, prefix_sha256=end)


async def whole(store: FilesystemBlobs) -> None:
    """Store the content."""
    await store.put(SHA256, chunks(CONTENT), len(CONTENT))


async def half(store: FilesystemBlobs) -> None:
    """Store the first half as a part, and forget its running digest, as a restart of the server does."""
    await part(store, 0)
    store._running.clear()


async def both(store: FilesystemBlobs) -> None:
    """Store both parts."""
    await part(store, 0)
    await part(store, HALF)


async def nothing(store: FilesystemBlobs) -> None:
    """Store nothing."""


async def whole_and_parts(store: FilesystemBlobs) -> None:
    """Store the content, and all of it as an upload too."""
    await whole(store)
    await both(store)


Begin = Callable[[FilesystemBlobs], Awaitable[Any]]
PATHS: dict[str, tuple[Begin, str, Begin]] = {
    "put: written": (nothing, "write", lambda store: store.put(SHA256, chunks(CONTENT), len(CONTENT))),
    "put: synced": (nothing, "fsync", lambda store: store.put(SHA256, chunks(CONTENT), len(CONTENT))),
    "put: compared": (whole, "read", lambda store: store.put(SHA256, chunks(CONTENT), len(CONTENT))),
    "put together: written": (nothing, "write", lambda store: store.put_many({SHA256: CONTENT})),
    "put together: synced": (nothing, "fsync", lambda store: store.put_many({SHA256: CONTENT})),
    "append: written": (nothing, "write", lambda store: part(store, 0)),
    "append: synced": (nothing, "fsync", lambda store: part(store, 0)),
    "append: resumed": (half, "read", lambda store: part(store, HALF)),
    "assemble: synced": (both, "fsync", lambda store: store.publish_upload("alice.up", SHA256)),
    "assemble: compared": (whole_and_parts, "read", lambda store: store.publish_upload("alice.up", SHA256)),
    "damage": (whole, "read", lambda store: store.verify(SHA256)),
    "settle": (whole, "fsync", lambda store: store.make_durable(SHA256)),
}


@pytest.fixture
def store(tmp_path: Path) -> FilesystemBlobs:
    """An empty store."""
    found = FilesystemBlobs(tmp_path / "blobs")
    found.open_store()
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("path", PATHS)
async def test_a_thread_keeps_its_descriptor_however_often_its_request_is_cancelled(
    store: FilesystemBlobs, monkeypatch: pytest.MonkeyPatch, path: str, times: int
) -> None:
    """A cancelled request ends only after its thread; the store works on afterwards."""
    before, call, begin = PATHS[path]
    await before(store)
    held = Held(monkeypatch, call)
    task = asyncio.ensure_future(begin(store))
    try:
        assert await asyncio.to_thread(held.entered.wait, LONGEST_S)
        for _ in range(times):
            task.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        assert not task.done(), "the request ended before its thread"
    finally:
        held.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert held.left.is_set()
    assert held.same == [True]
    store._running.clear()
    await whole(store)
    assert await store.verify(SHA256) is None
    assert list((store._root / "staging").iterdir()) == []


@pytest.mark.anyio
async def test_work_that_nobody_waits_for_ends_early(store: FilesystemBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that came before are not read to their end for a request that was cancelled."""
    monkeypatch.setattr("registry_server.infrastructure.receiving.CHUNK", 100)
    await half(store)
    held = Held(monkeypatch, "read")
    task = asyncio.ensure_future(part(store, HALF))
    assert await asyncio.to_thread(held.entered.wait, LONGEST_S)
    task.cancel()
    await asyncio.sleep(0)
    reads = 0
    real = held._real

    def counted(*args: Any) -> Any:
        nonlocal reads
        reads += 1
        return real(*args)

    held._real = counted
    held.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reads == 1


@pytest.mark.anyio
async def test_an_error_of_cancelled_work_is_not_reported_twice() -> None:
    """The caller learns of its cancellation, and asyncio warns of nothing; without a cancellation, of the error."""
    entered, go_on = threading.Event(), threading.Event()

    def fails() -> None:
        entered.set()
        go_on.wait(LONGEST_S)
        raise OSError("the disk failed")

    task = asyncio.ensure_future(in_thread(fails))
    await asyncio.to_thread(entered.wait, LONGEST_S)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(OSError, match="the disk failed"):
        await in_thread(fails)
    await ended(asyncio.ensure_future(asyncio.sleep(0)))


def test_a_deadline_on_a_resumed_upload_leaves_the_descriptors_of_others_alone(
    model_registry_backend: TestBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer of a request whose deadline passes while it reads comes after the read, from the same file."""
    transport = PortalTransport(model_registry_backend._app, model_registry_backend._portal)
    headers = {"authorization": f"Bearer {model_registry_backend.token()}"}
    with httpx.Client(transport=transport, base_url="http://registry.test", headers=headers) as http:
        announced = http.put(f"/v1/uploads/{SHA256}", json={"size": len(CONTENT)})
        assert announced.status_code < 300, announced.text
        url = f"/v1/uploads/{SHA256}/parts/0"
        first = http.put(url, content=CONTENT[:HALF], headers={"x-prefix-sha256": PREFIX})
        assert first.status_code < 300, first.text
        model_registry_backend.env.blobs._running.clear()  # type: ignore[attr-defined]
        held = Held(monkeypatch, "read")
        began = time.monotonic()

        def release() -> None:
            held.entered.wait(LONGEST_S)
            while time.monotonic() < began + 0.1:
                held.left.wait(0.01)
            held.go_on.set()

        releasing = threading.Thread(target=release)
        releasing.start()
        url = f"/v1/uploads/{SHA256}/parts/{HALF}"
        late = {"x-request-deadline-ms": "25", "x-prefix-sha256": SHA256}
        answer = http.put(url, content=CONTENT[HALF:], headers=late)
        releasing.join(LONGEST_S)
        assert answer.json()["code"] == "deadline_exceeded"
        assert held.same == [True]
        again = http.put(url, content=CONTENT[HALF:], headers={"x-prefix-sha256": SHA256})
        assert again.status_code < 300, again.text
        assert again.json()["complete"]


def test_a_download_that_is_cancelled_closes_its_file_after_the_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's file is not closed, and its number given to another one, while a thread writes to it."""
    entry = FileEntry(path="model.bin", size=len(CONTENT), sha256=SHA256)
    partial = Cache(tmp_path).start_download(entry)
    entered, go_on, order = threading.Event(), threading.Event(), []

    class Slow:
        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, view: memoryview) -> int:
            entered.set()
            go_on.wait(LONGEST_S)
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
    go_on.set()
    writing.join(LONGEST_S)
    closing.join(LONGEST_S)
    assert order == ["written", "closed"]
