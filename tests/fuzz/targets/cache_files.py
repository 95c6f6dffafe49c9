"""Cache files of the client after damage by a disk or another program, read during an outage."""

import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import httpx

from common_lib import HttpRegistry, RegistryConfig
from common_lib.errors import RegistryError
from registry_server.inprocess import URL, PortalTransport
from registry_server.testing import backend
from tests.fuzz.harness import Run, Target
from tests.fuzz.mutators import any_bytes

_MODEL: Final = b"the weights of the model"
_TOKEN: Final = "mrg_of_a_user"
_REFERENCE: Final = "models:/eurusd/production"


class Case(NamedTuple):
    """The files of a cache by path."""

    files: tuple[tuple[str, bytes], ...]


class _Down(httpx.BaseTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("the server is down", request=request)


class _AsUser(httpx.BaseTransport):
    """A transport that replaces the user's token by the admin's, so that seals made with the token are reproducible."""

    def __init__(self, inner: httpx.BaseTransport, token: str) -> None:
        self._inner, self._token = inner, token

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["authorization"] = f"Bearer {self._token}"
        return self._inner.handle_request(request)


@cache
def _used() -> Case:
    """Build the cache of a client that resolved and fetched a version and was closed."""
    with tempfile.TemporaryDirectory(prefix="fuzz-cache-") as name, _cache_in(Path(name, "cache")), backend() as served:
        served.reset()
        (folder := Path(name, "model")).mkdir()
        (folder / "model.bin").write_bytes(_MODEL)
        with served.registry() as admin:
            admin.models.create("eurusd", "forecasting")
            version = admin.register("eurusd", folder, framework="x")
            version = admin.versions.transition("eurusd", 1, "staging", revision=version.revision)
            admin.production.promote("eurusd", 1, reason="it is the first", revision=version.revision)
        transport = _AsUser(PortalTransport(served._app, served._portal), served.token())
        with HttpRegistry(RegistryConfig(url=URL, token=_TOKEN), transport=transport) as registry:
            registry.fetch(_REFERENCE)
        return Case(tuple(sorted(_files(Path(name, "cache")))))


def _files(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in root.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(root)), path.read_bytes()


@contextlib.contextmanager
def _cache_in(root: Path) -> Iterator[None]:
    with mock.patch.dict(os.environ, {"REGISTRY_CACHE": str(root)}):
        yield


@contextlib.contextmanager
def _in_an_outage() -> Iterator[Run]:
    root = Path(tempfile.mkdtemp(prefix="fuzz-cache-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108
    config = RegistryConfig(url=URL, token=_TOKEN, attempts=1)

    def run(case: Case) -> None:
        shutil.rmtree(root / "cache", ignore_errors=True)
        for path, content in case.files:
            (root / "cache" / path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            (root / "cache" / path).write_bytes(content)
        with HttpRegistry(config, transport=_Down()) as registry:
            fetched = registry.fetch(_REFERENCE, local_files_only=True)
            assert (fetched.folder / "model.bin").read_bytes() == _MODEL
            assert registry.resolve(_REFERENCE).version == 1

    try:
        with _cache_in(root / "cache"):
            yield run
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _damaged(chance: random.Random, case: Case) -> Case:
    files = dict(case.files)
    path = chance.choice(sorted(files))
    way = chance.randrange(10)
    if way == 0:
        del files[path]
    elif way == 1:
        files[path] = files[chance.choice(sorted(files))]
    else:
        files[path] = any_bytes(chance, files[path])
    return Case(tuple(sorted(files.items())))


TARGETS: Final[list[Any]] = [
    Target(
        name="cache-files",
        seeds=lambda: [_used()],
        mutate=_damaged,
        runner=_in_an_outage,
        refusals=(RegistryError,),
    )
]
