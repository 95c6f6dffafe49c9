"""A client in this process that fetches from a real registry in memory into a cache and a folder."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from common_lib import Cache, HttpRegistry, RegistryConfig
from registry_server.inprocess import URL, PortalTransport
from registry_server.testing import TestBackend, backend
from tests.crash.worlds import digest

FILES: Final = {"model.bin": bytes(range(200)), "notes/about.txt": b"about this model\n" * 9}
REFERENCE: Final = "models:/volatility/1"


class _Pieces(httpx.SyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), 64):
            yield self._content[start : start + 64]


class _InPieces(PortalTransport):
    """A transport that returns responses in small chunks, so that a small file needs several writes."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=_Pieces(answer.read()))


def register(registry: HttpRegistry) -> None:
    """Return the version that is fetched."""
    registry.models.create("volatility", "forecasting")
    with tempfile.TemporaryDirectory() as folder:
        for path, content in FILES.items():
            (Path(folder) / path).parent.mkdir(exist_ok=True)
            (Path(folder) / path).write_bytes(content)
        registry.register("volatility", folder, framework="test")


@contextmanager
def registry() -> Iterator[HttpRegistry]:
    """Run a registry with the version."""
    with backend() as world:
        world.reset()
        with client(world) as found:
            register(found)
            yield found


def client(world: TestBackend) -> HttpRegistry:
    """Return a client without retries that receives responses in chunks."""
    config = RegistryConfig(url=URL, token=world.token(), attempts=1)
    return HttpRegistry(config, transport=_InPieces(world._app, world._portal))


def _fetch(registry: HttpRegistry, root: Path) -> Path:
    return registry.fetch(REFERENCE, cache=Cache(root)).folder


def _place(registry: HttpRegistry, root: Path) -> Path:
    registry.download(REFERENCE, root / "folder", cache=Cache(root / "cache"))
    return root / "folder"


WAYS: Final[dict[str, Callable[[HttpRegistry, Path], Path]]] = {"fetch": _fetch, "place": _place}


def assert_whole(root: Path) -> None:
    """Fail if a file with a final name has other bytes."""
    for file in root.rglob("blobs/sha256/*/*"):
        assert digest(file.read_bytes()) == file.name, f"other bytes under a final name: {file.name}"
    for path, content in FILES.items():
        file = root / "folder" / path
        assert not file.exists() or file.read_bytes() == content, f"other bytes under a final name: {path}"


def assert_fetched(folder: Path) -> None:
    """Fail unless the folder has the files of the version."""
    found: dict[str, Any] = {path: (folder / path).read_bytes() for path in FILES}
    assert found == FILES
