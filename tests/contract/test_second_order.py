"""Promises that nobody misses at once: exact bounds, headers on rare ways, and spellings that make no difference."""

import asyncio
import hashlib
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adapters import Analysis, Integration, Workbench
from common_lib import Grant, HttpRegistry, Role
from common_lib.artifacts.loading import load
from common_lib.errors import AlreadyExists, LoadRefused, RegistryUnavailable, RevisionMismatch
from common_lib.faults import Faults
from common_lib.staleness import ServeStale
from registry_server.api import authentication
from registry_server.api.deadlines import Deadlines
from registry_server.core import principals
from registry_server.core.writes import WriteRequest, execute
from registry_server.domain import errors
from registry_server.infrastructure.filesystem import FilesystemBlobs
from registry_server.infrastructure.schema import SchemaMismatch
from registry_server.infrastructure.sqlite import SqliteDatabase
from registry_server.testing import TestBackend
from tests.support.steps import version_of


def test_a_token_is_refused_from_the_moment_of_its_expiry_on(
    model_registry: HttpRegistry, model_registry_backend: TestBackend
) -> None:
    """One microsecond before it is taken."""
    issued = model_registry.principals.issue_token("admin", valid_days=1)
    call, database = model_registry_backend._portal.call, model_registry_backend.env.database
    end = issued.token.expires_at
    token, _ = call(principals.authenticate, database, issued.secret or "", end - timedelta(microseconds=1))
    assert token.id == issued.token.id
    with pytest.raises(errors.Unauthenticated):
        call(principals.authenticate, database, issued.secret or "", end)


@pytest.mark.parametrize("pattern", ["EURUSD-*", "EurUsd-Direction", "eurusd-direction", "e*", "*"])
def test_capitals_in_a_grant_make_no_difference(
    model_registry: HttpRegistry, model_registry_backend: TestBackend, pattern: str
) -> None:
    """To read one model, and to find it among all."""
    for name in ("EURUSD-Direction", "gbpusd-direction"):
        model_registry.models.create(name, "regression")
    with model_registry_backend.registry("analysis", models=pattern) as registry:
        assert registry.models.get("EURUSD-Direction").revision == 1
        found = [model.name for model in registry.models.search()]
        assert found == (["EURUSD-Direction", "gbpusd-direction"] if pattern == "*" else ["EURUSD-Direction"])


def test_what_is_decided_about_an_alias_is_in_the_history(model_registry: HttpRegistry) -> None:
    """That it was set, moved and deleted."""
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
async def test_an_adapter_promotes_what_it_has_read_and_nothing_later(
    model_registry: HttpRegistry, model_registry_backend: TestBackend
) -> None:
    """A version that somebody changed since is refused."""
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
async def test_a_list_is_kept_as_long_as_it_may_be_old(model_registry_backend: TestBackend, max_age_s: float) -> None:
    """In an outage, a list that is older is not used."""
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


def test_a_name_that_differs_in_capitals_is_named_when_it_is_taken(model_registry: HttpRegistry) -> None:
    """The workbench neither takes it for the other model nor reports that no such model exists."""
    model_registry.models.create("EURUSD", "regression")
    with pytest.raises(AlreadyExists, match="EURUSD"):
        Workbench(model_registry).ensure_model("eurusd", "regression")


def test_what_is_loaded_is_hashed_right_before(model_registry: HttpRegistry) -> None:
    """Bytes of the same length that were put in the place of fetched ones are refused."""
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


def test_a_token_that_another_server_has_revoked_is_refused_within_five_seconds(
    model_registry: HttpRegistry, model_registry_backend: TestBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each server looks its callers up again, without any message from the other server."""
    model_registry.principals.create("bob", "service", [Grant(role=Role.ANALYSIS, models="*")])
    issued = model_registry.principals.issue_token("bob")
    env, token = model_registry_backend.env, model_registry_backend.token()
    client: Any = model_registry._transport._open()

    def asked() -> int:
        headers = {"authorization": f"Bearer {issued.secret}"}
        status: int = client.get("/v1/whoami", headers=headers).status_code
        return status

    async def revoke_elsewhere() -> None:
        _, admin = await principals.authenticate(env.database, token, env.now())
        request = WriteRequest(admin, env.now(), "elsewhere", uuid.uuid4().hex, "revoke")
        await execute(env, request, lambda records, by: principals.revoke_token(records, by, issued.token.id))

    assert asked() == 200
    model_registry_backend._portal.call(revoke_elsewhere)
    later = time.monotonic() + 5.0
    monkeypatch.setattr(authentication, "time", SimpleNamespace(monotonic=lambda: later))
    assert asked() == 401


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("limit", [0, 1, 9])
async def test_bytes_beyond_the_limit_are_not_kept(tmp_path: Path, limit: int) -> None:
    """Not even if their number was not announced; as many as the limit are kept."""

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
async def test_nobody_works_longer_than_the_caller_waits(monkeypatch: pytest.MonkeyPatch, milliseconds: int) -> None:
    """The deadline of the header is the one at which the work is ended, and then the answer says so."""
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
async def test_a_step_of_the_schema_that_was_altered_is_refused(tmp_path: Path) -> None:
    """The database is not what the numbers of its steps say."""
    database = SqliteDatabase(tmp_path / "altered.sqlite3")
    await database.open()
    database._writer.raw.execute("UPDATE migrations SET sha256 = '00' WHERE number = 1")
    await database.close()
    with pytest.raises(SchemaMismatch, match="0001_"):
        await database.open()
