"""Exact limits and rare cases: deadlines, limits of bytes, stale lists, similar names, altered migrations."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters import Analysis, Integration, Workbench
from common_lib import HttpRegistry
from common_lib.artifacts.loading import load
from common_lib.errors import AlreadyExists, LoadRefused, RegistryUnavailable, RevisionMismatch
from common_lib.faults import Faults
from common_lib.staleness import ServeStale
from registry_server.api.deadlines import Deadlines
from registry_server.domain import errors
from registry_server.infrastructure.filesystem_blobs import FilesystemBlobs
from registry_server.infrastructure.schema_history import SchemaMismatch
from registry_server.infrastructure.sqlite import SqliteDatabase
from registry_server.testing import TestBackend
from tests.support.steps import version_of


def test_the_history_contains_changes_of_aliases(model_registry: HttpRegistry) -> None:
    """The history contains that an alias was set, moved and deleted."""
    name = "eurusd"
    model_registry.models.create(name, "regression")
    for _ in range(2):
        version_of(model_registry, name)
    model_registry.aliases.create(name, "champion", 1)
    model_registry.aliases.move(name, "champion", 2, revision=1)
    model_registry.aliases.delete(name, "champion", revision=2)
    decided = [decision.what for decision in model_registry.production.history(name)]
    assert decided == ["alias.deleted", "alias.moved", "alias.set"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_adapter_promotes_only_the_revision_it_has_read(
    model_registry: HttpRegistry, model_registry_backend: TestBackend
) -> None:
    """A promotion fails if another client has changed the version since."""
    model_registry.models.create("eurusd", "regression")
    model_registry.versions.transition("eurusd", version_of(model_registry, "eurusd").version, "staging", revision=1)
    async with model_registry_backend.async_registry("integration") as registry:
        integration = Integration(registry)
        (read,) = await integration.candidates("eurusd")
        await registry.versions.update("eurusd", 1, description="other", revision=read.revision)
        with pytest.raises(RevisionMismatch):
            await integration.promote(read, reason="it is better")
        (again,) = await integration.candidates("eurusd")
        assert (await integration.promote(again, reason="it is better")).revision == again.revision + 1


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("max_age_s", [0.0, 3600.0])
async def test_a_list_is_served_up_to_its_maximum_age(model_registry_backend: TestBackend, max_age_s: float) -> None:
    """The adapter does not serve an older list during an outage."""
    async with model_registry_backend.async_registry("analysis") as registry:
        faults = Faults()
        analysis = Analysis(faults.inject_into(registry), staleness=ServeStale(max_age_s=max_age_s))
        assert await analysis.production_models() == []
        faults.outage()
        if max_age_s:
            assert await analysis.production_models() == []
        else:
            with pytest.raises(RegistryUnavailable):
                await analysis.production_models()


def test_an_existing_name_in_other_capitals_is_reported(model_registry: HttpRegistry) -> None:
    """The workbench raises AlreadyExists with the name of the existing model."""
    model_registry.models.create("EURUSD", "regression")
    with pytest.raises(AlreadyExists, match="EURUSD"):
        Workbench(model_registry).ensure_model("eurusd", "regression")


def test_bytes_are_hashed_right_before_they_are_loaded(model_registry: HttpRegistry) -> None:
    """Fetched bytes that were replaced by others of the same length are refused."""
    model_registry.models.create("eurusd", "regression")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.json").write_bytes(b'{"up": 1}')
        model_registry.register("eurusd", folder, framework="json")
    snapshot = model_registry.fetch("models:/eurusd/1")
    assert load(snapshot) == {"up": 1}
    stored = (snapshot.folder / "model.json").resolve()
    stored.chmod(0o600)
    stored.write_bytes(b'{"up": 2}')
    with pytest.raises(LoadRefused, match="SHA-256"):
        load(snapshot)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("limit", [0, 1, 9])
async def test_bytes_beyond_the_limit_are_not_stored(tmp_path: Path, limit: int) -> None:
    """The limit applies to a body without an announced length too, and includes its last byte."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"xx"

    blobs = FilesystemBlobs(tmp_path)
    blobs.open_store()
    sha256 = hashlib.sha256(b"x" * 10).hexdigest()
    with pytest.raises(errors.BlobTooLarge, match=f"more than {limit} bytes"):
        await blobs.put(sha256, chunks(), limit)
    assert not blobs.has_blob(sha256, 10)
    assert list((tmp_path / "staging").iterdir()) == []
    assert await blobs.put(sha256, chunks(), 10) == 10


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("milliseconds", [1, 40])
async def test_work_ends_at_the_deadline_of_the_client(monkeypatch: pytest.MonkeyPatch, milliseconds: int) -> None:
    """The server stops at the deadline in the header and responds with 504."""
    loop = asyncio.get_running_loop()
    set_up, ends, sent = loop.call_at, [], []

    def call_at(when: float, *rest: Any, **more: Any) -> asyncio.TimerHandle:
        ends.append(when - loop.time())
        return set_up(when, *rest, **more)

    async def hang(*_: Any) -> None:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    monkeypatch.setattr(loop, "call_at", call_at)
    header = (b"x-request-deadline-ms", b"%d" % milliseconds)
    scope: Any = {"type": "http", "method": "GET", "headers": [header], "registry_request_id": "r1"}
    await Deadlines(hang)(scope, receive, send)
    assert 0 < max(ends) <= milliseconds / 1000
    assert sent[0]["status"] == 504


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_altered_migration_is_refused(tmp_path: Path) -> None:
    """A migration with another checksum than that in the database raises SchemaMismatch."""
    database = SqliteDatabase(tmp_path / "altered.sqlite3")
    await database.open()
    database._writer.raw.execute("UPDATE migrations SET sha256 = '00' WHERE number = 1")
    await database.close()
    with pytest.raises(SchemaMismatch, match="0001_"):
        await database.open()
