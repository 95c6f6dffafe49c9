"""With all bytes cached, reads succeed on a full, read-only or broken disk, with at most one warning."""

import errno
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.strategy import Strategy
from common_lib import HttpRegistry, RegistryConfig
from common_lib.config import ResolveRules
from common_lib.errors import LocalDiskFailed, RegistryUnavailable
from common_lib.faults import Faults
from registry_server.inprocess import URL, PortalTransport
from registry_server.testing import TestBackend
from tests.crash.calls import Call, Recorder, recorded
from tests.support.steps import promoted

CODES = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT)
WRITES = {"create", "write", "fsync", "mkdir", "link", "replace", "symlink", "unlink", "utime", "fchmod", "chmod"}


@pytest.fixture
def client(model_registry_backend: TestBackend) -> Iterator[Callable[[], HttpRegistry]]:
    """Make clients, all defaults, of a registry with a model that has a version in production."""
    token = model_registry_backend.token()
    made: list[HttpRegistry] = []

    def make() -> HttpRegistry:
        rules = ResolveRules(fresh_s=0.0, revalidate_s=0.0)
        config = RegistryConfig(url=URL, token=token, resolve=rules, attempts=1)
        transport = PortalTransport(model_registry_backend._app, model_registry_backend._portal)
        made.append(HttpRegistry(config, transport=transport))
        return made[-1]

    with model_registry_backend.registry() as admin:
        admin.models.create("m1", "regression")
        promoted(admin, "m1", b"one")
    yield make
    for registry in made:
        registry.close()


def failing(root: Path, number: int, code: int) -> tuple[Recorder, list[Call]]:
    """Let the write with this number and all later ones fail with an error that names no path, as a disk does."""
    failed: list[Call] = []
    seen = 0

    def interfere(_: Recorder, call: Call) -> None:
        nonlocal seen
        if call.name in WRITES:
            seen += 1
            if seen >= number:
                failed.append(call)
                raise OSError(code, os.strerror(code))

    return Recorder(root, interfere), failed


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("state", ["cold", "known"])
def test_no_failing_write_of_bookkeeping_fails_a_read(
    client: Callable[[], HttpRegistry], cache: Path, code: int, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each write in turn fails, online, in an outage and offline; no temporary file stays."""
    client().fetch("models:/m1/1" if state == "cold" else "models:/m1/production")
    for number in range(1, 100):
        caplog.clear()
        before = {path for path in cache.rglob("*") if path.is_file()}
        recorder, failed = failing(cache, number, code)
        registry = client()
        strategy = Strategy(registry)
        with recorded(recorder):
            assert (strategy.trading_model("m1").folder / "model.bin").read_bytes() == b"one"
            if state == "known":
                faults = Faults()
                faults.inject_into(registry)
                faults.outage()
                assert strategy.trading_model("m1").version.version == 1
                assert strategy.trading_model("m1", local_files_only=True).version.version == 1
            registry.close()
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) <= 1
        unlinked = [call for call in failed if call.name == "unlink"]
        after = {path for path in cache.rglob("*") if path.is_file()}
        assert unlinked or [path for path in after - before if path.name.startswith(".")] == []
        if not failed:
            break
        if state == "cold":
            for path in after - before:
                path.unlink()
    else:
        pytest.fail("the disk never worked")


def test_the_error_of_a_needed_write_names_its_path(client: Callable[[], HttpRegistry], cache: Path) -> None:
    """Missing bytes must be written; each failing write raises an error with a path below the cache."""
    for number, code in zip(range(1, 100), itertools.cycle(CODES), strict=False):
        recorder, failed = failing(cache, number, code)
        registry = client()
        error: LocalDiskFailed | None = None
        with recorded(recorder):
            try:
                registry.fetch("models:/m1/production")
            except LocalDiskFailed as raised:
                error = raised
            registry.close()
        if not failed:
            return
        if error is None:
            optional = {"references", "manifests", "resolves"}
            assert all(set(Path(call.place).parts) & optional for call in failed), failed
        else:
            assert error.path.startswith(str(cache)), (failed[0], error)
            assert os.strerror(code) in str(error)
        empty = [path for path in cache.rglob("*") if path.is_file() and not path.stat().st_size]
        assert any(call.name == "unlink" for call in failed) or empty == []
        for path in sorted(cache.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    pytest.fail("the disk never worked")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache_can_be_used(client: Callable[[], HttpRegistry], cache: Path) -> None:
    """Such a cache may have been filled when an image was built."""
    client().fetch("models:/m1/1")
    folders = [cache, *(path for path in cache.rglob("*") if path.is_dir() and not path.is_symlink())]
    for folder in folders:
        folder.chmod(0o500)
    try:
        assert Strategy(client()).trading_model("m1").version.version == 1
    finally:
        for folder in folders:
            folder.chmod(0o700)


def test_the_recipe_for_a_start_without_the_registry_serves_from_a_full_disk(
    client: Callable[[], HttpRegistry], cache: Path
) -> None:
    """The registry does not answer, only the files are there, and the disk is full."""
    client().fetch("models:/m1/production")
    recorder, _ = failing(cache, 1, errno.ENOSPC)
    registry = client()
    faults = Faults()
    faults.inject_into(registry)
    faults.outage()
    strategy = Strategy(registry)

    def at_start() -> Any:
        try:
            return strategy.trading_model("m1")
        except RegistryUnavailable:
            return strategy.trading_model("m1", local_files_only=True)

    with recorded(recorder):
        assert at_start().version.version == 1
