"""The background tasks of a server, on a clock that the test moves."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from registry_server import app as composition
from registry_server.settings import Settings
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio
TASKS = 2
DAY = 86_400.0
BLOBS = [f"weights {number:02d}".encode() for number in range(12)]


@pytest.fixture
def anyio_backend() -> str:
    """Run the server on asyncio."""
    return "asyncio"


class World:
    """A server whose background tasks use the clock of the test."""

    def __init__(self, data: Path, http: httpx.AsyncClient, clock: Clock) -> None:
        self.data = data
        self.http = http
        self.clock = clock

    def file(self, content: bytes) -> Path:
        """Return the file with the stored bytes."""
        sha256 = hashlib.sha256(content).hexdigest()
        return self.data / "blobs" / "sha256" / sha256[:2] / sha256

    async def put(self, *contents: bytes) -> None:
        """Upload bytes."""
        for content in contents:
            sha256 = hashlib.sha256(content).hexdigest()
            (await self.http.put(f"/v1/blobs/{sha256}", content=content)).raise_for_status()

    async def events(self, kind: str) -> set[str]:
        """Return the digests of all events of that type."""
        found = (await self.http.get("/v1/events?limit=1000")).json()
        found = found if isinstance(found, list) else found["items"]
        return {event["subject"].rpartition("/")[2] for event in found if event["type"] == f"registry.{kind}"}

    async def metric(self, name: str) -> float:
        """Return the value of a metric without labels."""
        lines = (await self.http.get("/metrics")).text.splitlines()
        (value,) = (line.split()[1] for line in lines if line.startswith(f"{name} "))
        return float(value)

    async def pass_time(self, seconds: float) -> None:
        """Move the clock; return when all tasks that are due have run."""
        await self.clock.advance(seconds, TASKS)


@asynccontextmanager
async def world_of(data: Path, **settings: Any) -> AsyncIterator[World]:
    """Run a server on that folder."""
    chosen = Settings(data=data, access_log=False, **settings)
    clock = Clock()
    application = composition.create_app(chosen)
    async with composition.open_environment(chosen) as real:
        blobs: Any = real.blobs
        blobs._sleep = clock.sleep
        env = msgspec.structs.replace(real, now=clock.now, sleep=clock.sleep)
        composition.use_environment(application, env)
        transport = httpx.ASGITransport(app=application)  # type: ignore[arg-type]
        token = (data / "admin-token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://registry.test", headers=headers) as http:
            world = World(data, http, clock)
            await world.put(*BLOBS)
            tasks = [
                asyncio.create_task(work) for work in composition.background_tasks(chosen, env, application.state.scrub)
            ]
            assert len(tasks) == TASKS
            try:
                yield world
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def digests(*contents: bytes) -> set[str]:
    """Return the SHA-256 of each."""
    return {hashlib.sha256(content).hexdigest() for content in contents}


async def test_the_scrubber_reads_every_byte_of_every_blob(tmp_path: Path) -> None:
    """It finds a changed byte and a lost file at any position; intact blobs stay."""
    async with world_of(tmp_path / "data", scrub_most_damaged=0) as world:
        harmed = sorted(BLOBS, key=lambda content: hashlib.sha256(content).hexdigest())
        for changed in (harmed[0], harmed[5], harmed[-1]):
            world.file(changed).write_bytes(changed[:-1] + b"X")
        world.file(harmed[3]).unlink()
        await world.pass_time(60)
        assert await world.events("blob.quarantined") == digests(harmed[0], harmed[3], harmed[5], harmed[-1])
        assert await world.metric("registry_scrub_damaged_blobs") == 4
        assert await world.metric("registry_scrub_stopped") == 0
        assert await world.metric("registry_scrub_finished_timestamp_seconds") > 0


async def test_the_scrubber_follows_its_rate_and_its_pause(tmp_path: Path) -> None:
    """At one byte a second 120 bytes take two minutes; the next round begins after the pause."""
    async with world_of(tmp_path / "data", scrub_bytes_per_s=1.0, scrub_pause_s=1_000.0) as world:
        last = max(BLOBS, key=lambda content: hashlib.sha256(content).hexdigest())
        world.file(last).write_bytes(b"X" * len(last))
        whole = sum(map(len, BLOBS))
        await world.pass_time(whole - 1)
        assert not await world.events("blob.quarantined")
        await world.pass_time(1)
        assert await world.events("blob.quarantined") == digests(last)
        first = min(BLOBS, key=lambda content: hashlib.sha256(content).hexdigest())
        world.file(first).unlink()
        await world.pass_time(999)
        assert await world.events("blob.quarantined") == digests(last)
        await world.pass_time(10)
        assert await world.events("blob.quarantined") == digests(first, last)


async def test_restored_bytes_are_served_after_the_next_round(tmp_path: Path) -> None:
    """The operator needs no command; other bytes under the name stay in quarantine."""
    async with world_of(tmp_path / "data", scrub_pause_s=DAY) as world:
        one, other = BLOBS[:2]
        for content in (one, other):
            world.file(content).unlink()
        await world.pass_time(60)
        assert await world.events("blob.quarantined") == digests(one, other)
        world.file(one).write_bytes(one)
        world.file(other).write_bytes(b"X" * len(other))
        await world.pass_time(DAY + 60)
        assert await world.events("blob.restored") == digests(one)
        assert await world.metric("registry_scrub_restored_blobs") == 1


@pytest.mark.parametrize("how", ["away", "empty", "another"])
async def test_a_missing_blob_folder_raises_an_alarm_without_quarantine(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The server is not ready until the folder is back."""
    async with world_of(tmp_path / "data", scrub_pause_s=DAY) as world:
        await world.pass_time(60)
        blobs = world.data / "blobs"
        blobs.rename(tmp_path / "elsewhere")
        if how == "empty":
            (blobs / "sha256").mkdir(parents=True)
        if how == "another":
            shutil.copytree(tmp_path / "elsewhere", blobs)
            marker = blobs / "store.json"
            marker.write_text(marker.read_text().replace('"store":"', '"store":"0'))
        await world.pass_time(DAY + 60)
        assert not await world.events("blob.quarantined")
        ready = await world.http.get("/health/ready")
        assert (ready.status_code, ready.json()["code"]) == (503, "blob_store_missing")
        assert str(tmp_path) not in ready.text
        alarms = [record.getMessage() for record in caplog.records if "the scrubber has stopped" in record.message]
        assert len(alarms) == 1
        assert str(blobs) in alarms[0]
        assert await world.metric("registry_scrub_stopped") == 1
        presence = await world.http.post("/v1/presence", json={"sha256": sorted(digests(*BLOBS))})
        assert how == "another" or presence.json()["code"] == "blob_store_missing"
        collected = await world.http.post("/v1/collection", json={"grace_s": 0, "trash_s": 0})
        assert collected.json()["code"] == "blob_store_missing"
        verified = await world.http.post(f"/v1/blobs/{min(digests(*BLOBS))}/verify")
        assert how == "another" or verified.json()["code"] == "blob_store_missing"
        if blobs.exists():
            shutil.rmtree(blobs)
        (tmp_path / "elsewhere").rename(blobs)
        await world.pass_time(120)
        assert (await world.http.get("/health/ready")).json() == {"status": "ready"}
        assert await world.metric("registry_scrub_stopped") == 0
        assert not await world.events("blob.quarantined")


async def test_after_too_many_losses_the_scrubber_stops_until_the_bytes_are_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The alarm is in the log once, in the metrics and in the health check; it ends by itself."""
    async with world_of(tmp_path / "data", scrub_most_damaged=3) as world:
        for content in BLOBS:
            world.file(content).unlink()
        await world.pass_time(3_600)
        assert len(await world.events("blob.quarantined")) == 3
        ready = await world.http.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["alarm"] == "3 blobs of one round are damaged or lost"
        assert await world.metric("registry_scrub_stopped") == 1
        alarms = [record for record in caplog.records if "the scrubber has stopped" in record.message]
        assert [record.levelname for record in alarms] == ["ERROR"]
        assert all(sha256 in alarms[0].message for sha256 in sorted(digests(*BLOBS))[:3])
        for content in BLOBS:
            world.file(content).write_bytes(content)
        await world.pass_time(120)
        assert len(await world.events("blob.restored")) == 3
        assert (await world.http.get("/health/ready")).json() == {"status": "ready"}
        assert len(await world.events("blob.quarantined")) == 3


async def test_expired_answers_and_uploads_are_deleted(tmp_path: Path) -> None:
    """First answers after 48 hours, uploads a day after their last part, at the next hourly run."""
    async with world_of(tmp_path / "data", scrub_pause_s=30 * DAY) as world:
        sha256 = "ab" * 32
        prefix = {"x-prefix-sha256": hashlib.sha256(b"part").hexdigest()}
        (await world.http.put(f"/v1/uploads/{sha256}", json={"size": 100})).raise_for_status()
        (await world.http.put(f"/v1/uploads/{sha256}/parts/0", content=b"part", headers=prefix)).raise_for_status()
        sent = {"json": {"name": "m1", "type": "regression"}, "headers": {"idempotency-key": "a" * 32}}
        assert (await world.http.post("/v1/models", **sent)).status_code == 201
        await world.pass_time(DAY - 1)
        assert list((world.data / "blobs" / "uploads").iterdir())
        await world.pass_time(3_602)
        assert not list((world.data / "blobs" / "uploads").iterdir())
        assert (await world.http.get(f"/v1/uploads/{sha256}")).status_code == 404
        assert (await world.http.post("/v1/models", **sent)).status_code == 201
        await world.pass_time(DAY)
        # The first answer is forgotten, so this is another request for a name that is taken.
        assert (await world.http.post("/v1/models", **sent)).json()["code"] == "model_exists"
