"""Local paths that are not plain files or folders: the client raises a typed error and never blocks."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from common_lib import AsyncHttpRegistry, Cache, HttpRegistry, ModelRegistry, RegistryConfig
from common_lib.artifacts import hashing, upload
from common_lib.artifacts.cache import PartialDownload
from common_lib.binding import run
from common_lib.errors import InvalidRequest, LocalDiskFailed, RequestInFlight
from common_lib.operations import artifacts, uploads
from common_lib.operations.base import Operation, Source
from registry_server.testing import TestBackend, backend
from tests.conftest import ViaAsync
from tests.integration.test_transport import serving

CONTENT = b"weights" * 100


@pytest.fixture(scope="module")
def served() -> Iterator[TestBackend]:
    """Provide the application with version 1 of the model `a`."""
    with backend() as application:
        application.reset()
        yield application


@pytest.fixture(scope="module")
def registry(served: TestBackend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelRegistry]:
    """Provide an admin's registry."""
    file = tmp_path_factory.mktemp("trained") / "model.bin"
    file.write_bytes(CONTENT)
    with served.registry() as found:
        found.models.create("a", "regression")
        found.register("a", file, framework="test")
        yield found


@pytest.fixture
def filled(registry: ModelRegistry, tmp_path: Path) -> Cache:
    """Provide a cache that holds the version."""
    found = Cache(tmp_path / "filled")
    registry.fetch("models:/a/1", cache=found)
    return found


def blob(filled: Cache) -> Path:
    """Return the path of the version's blob in the cache."""
    (found,) = (filled.root / "blobs").rglob("?" * 64)
    return found


def linked(target: str) -> Callable[[Path], None]:
    """Provide a function that puts a link at a path."""
    return lambda place: place.symlink_to(target)


@pytest.mark.parametrize("put", [os.mkfifo, linked("/dev/zero"), linked("/nowhere"), linked("/tmp")])  # noqa: S108
def test_a_path_in_the_cache_that_is_not_a_file_is_fetched_again(
    registry: ModelRegistry, filled: Cache, put: Callable[[Path], None]
) -> None:
    """A pipe does not block the client, and the client does not write through a link."""
    place = blob(filled)
    place.unlink()
    put(place)
    assert (registry.fetch("models:/a/1", cache=filled).folder / "model.bin").read_bytes() == CONTENT


def test_a_pipe_among_abandoned_downloads_does_not_block(registry: ModelRegistry, filled: Cache) -> None:
    """The client does not continue a download from it."""
    place = blob(filled)
    pipe = filled.root / "partial" / f"{place.name}.old"
    os.mkfifo(pipe)
    os.utime(pipe, (0, 0))
    place.unlink()
    assert (registry.fetch("models:/a/1", cache=filled).folder / "model.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("spoilt", ["", "blobs", "snapshots", "manifests", "references"])
def test_a_cache_that_cannot_be_used_is_an_error(registry: ModelRegistry, filled: Cache, spoilt: str) -> None:
    """The error names the path; once it is repaired, the client works again."""
    place = filled.root / spoilt
    shutil.rmtree(place)
    place.write_text("a file where a folder should be")
    with pytest.raises(LocalDiskFailed) as failed:
        registry.fetch("models:/a/1", cache=filled)
    assert str(place) in failed.value.path
    assert str(failed.value.__cause__)
    place.unlink()
    assert (registry.fetch("models:/a/1", cache=filled).folder / "model.bin").read_bytes() == CONTENT


def test_a_folder_at_the_path_of_a_blob_is_an_error(registry: ModelRegistry, filled: Cache) -> None:
    """The client does not remove the folder, because its content is unknown."""
    place = blob(filled)
    place.unlink()
    place.mkdir()
    with pytest.raises(LocalDiskFailed, match=place.name):
        registry.fetch("models:/a/1", cache=filled)
    assert place.is_dir()


def test_a_disk_that_is_full_leaves_nothing_under_a_final_name(
    registry: ModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next fetch works."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cache = Cache(tmp_path / "empty")
    with monkeypatch.context() as patch:
        patch.setattr(PartialDownload, "write", full)
        with pytest.raises(LocalDiskFailed, match="No space left"):
            registry.fetch("models:/a/1", cache=cache)
    assert not [file for file in cache.root.rglob("*") if file.is_file()]
    assert (registry.fetch("models:/a/1", cache=cache).folder / "model.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("size", [10, 300_000])
def test_a_file_that_disappears_before_it_is_sent_is_an_error(
    registry: ModelRegistry, tmp_path: Path, size: int
) -> None:
    """The error is the same for small files, which are sent in one request, and for larger ones."""
    trained = tmp_path / "trained"
    trained.mkdir()
    for name in ("one.bin", "two.bin"):
        (trained / name).write_bytes(os.urandom(size))

    def gone(path: str, done: int, total: int) -> None:
        if path == "two.bin" and done == total:
            (trained / "two.bin").unlink(missing_ok=True)

    with pytest.raises(LocalDiskFailed, match=r"two\.bin"):
        registry.register("a", trained, framework="test", progress=gone)


def test_an_error_of_the_progress_function_reaches_the_caller(registry: ModelRegistry, tmp_path: Path) -> None:
    """An error raised by the caller's progress function is not translated."""

    def broken(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    (tmp_path / "model.bin").write_bytes(CONTENT)
    with pytest.raises(BrokenPipeError):
        registry.register("a", tmp_path / "model.bin", framework="test", progress=broken)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Create folders nested more deeply than Python can call functions."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1_100):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    yield tmp_path
    # By a program, for `shutil.rmtree` calls itself.
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # noqa: S607 - a path of pytest's own


def test_a_deep_folder_is_walked(registry: ModelRegistry, deep: Path, filled: Cache) -> None:
    """Both an upload and a download can use such a folder."""
    with pytest.raises(InvalidRequest, match="empty folder"):
        registry.register("a", deep / "d", framework="test")
    registry.download("models:/a/1", deep / "d", cache=filled)
    assert (deep / "d" / "model.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["a\0b", 7, b"a"])
def test_an_argument_that_is_not_a_path_is_refused(registry: ModelRegistry, path: Any) -> None:
    """The client refuses it before it sends a request."""
    for use in (lambda: registry.register("a", path, framework="x"), lambda: registry.download("models:/a/1", path)):
        with pytest.raises(InvalidRequest, match="is not a path"):
            use()


class Busy(ModelRegistry):
    """A registry to which another process with the same token sends the same bytes, a part before each of our own."""

    def __init__(self, registry: ModelRegistry, others: list[Operation[Any]]) -> None:
        self._registry, self._others = registry, others

    def call(self, operation: Operation[Any]) -> Any:
        """Refuse a part of ours until the other upload has sent all its parts."""
        if "/parts/" in operation.path and self._others:
            self._registry.call(self._others.pop(0))
            raise RequestInFlight("another part is on its way", code="request_in_flight")
        return self._registry.call(operation)


def test_an_upload_waits_for_another_upload_of_the_same_bytes(
    registry: ModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client tries again as often as it needs, as long as the other upload makes progress."""
    for module, name, value in (
        (hashing, "PART_BYTES", 100),
        (upload, "PART_BYTES", 100),
        (upload, "_SMALL_BYTES", 10),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(hashing, "_CHUNK", 50)
    (tmp_path / "model.bin").write_bytes(os.urandom(950))
    (file,) = hashing.hash_files(tmp_path / "model.bin")
    others = [
        uploads.put_part(file.entry.sha256, Source(file.path, 100 * number, 100), file.prefixes[number])
        for number in range(8)
    ]
    run(upload.send([file]), Busy(registry, others).call)
    assert others == []
    assert registry.call(artifacts.get_blob(file.entry.sha256)).size == 950


def _slowly(connection: socket.socket) -> None:
    while connection.recv(65536).find(b"weights") < 0:
        pass
    # Longer than an attempt may take that sends no bytes; nothing else can tell the two apart.
    threading.Event().wait(0.5)
    body = b'{"sha256": "%s", "size": 1, "created_by": "a", "created_at": "2026-01-01T00:00:00Z"}' % (b"0" * 64)
    connection.sendall(b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\n")
    connection.sendall(b"content-length: %d\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize("kind", ["blocking", "asynchronous"])
def test_a_transfer_may_take_longer_than_an_attempt(tmp_path: Path, kind: str) -> None:
    """The timeout of an attempt does not limit a transfer."""
    (tmp_path / "model.bin").write_bytes(CONTENT)
    operation = artifacts.put_blob("0" * 64, tmp_path / "model.bin")
    with serving(_slowly) as url, contextlib.ExitStack() as stack:
        config = RegistryConfig(url=url, attempt_timeout_s=0.3, attempts=1)
        registry: ModelRegistry
        if kind == "blocking":
            registry = stack.enter_context(HttpRegistry(config))
        else:
            portal = stack.enter_context(start_blocking_portal())
            inner = stack.enter_context(portal.wrap_async_context_manager(AsyncHttpRegistry(config)))
            registry = ViaAsync(portal, inner)
        assert registry.call(operation).size == 1
