"""The collector removes unreferenced blobs and nothing else, on both engines and during uploads."""

import hashlib
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from common_lib import Cache, HttpRegistry
from common_lib.errors import BlobDamaged, BlobNotFound, Forbidden, UploadNotFound, VersionNotFound
from common_lib.operations.base import Source
from registry_server.queries.collection import CollectionRecords
from tests.conftest import Server
from tests.security.worlds import World, open_world, problem
from tests.support.state import assert_events_match_the_state
from tests.support.steps import version_of

DAY = 86_400
DAYS_2 = timedelta(days=2)


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Provide a registry with a movable clock; afterwards its replayed events must equal its state."""
    with open_world(request) as found:
        yield found
        sql = found.backend._portal.call(_sql, found)
        found.backend._portal.call(assert_events_match_the_state, sql)


async def _sql(world: World) -> Any:
    database: Any = world.backend.env.database
    return getattr(database, "_writer", None) or database.read.models._sql


@pytest.fixture
def registry(world: World) -> Iterator[HttpRegistry]:
    """Provide an admin's registry."""
    with world.backend.registry() as found:
        yield found


def published(registry: HttpRegistry, folder: Path, content: bytes) -> str:
    """Upload bytes that no version references, and return their digest."""
    file = folder / "unnamed.bin"
    file.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    registry.artifacts.put_blob(sha256, file)
    return sha256


def stored(world: World, place: str = "sha256") -> set[str]:
    """Return the digests with a file in that folder."""
    return {file.name for file in (world.backend._home / "blobs" / place).rglob("*") if file.is_file()}


def test_unreferenced_bytes_are_removed_in_steps(world: World, registry: HttpRegistry, tmp_path: Path) -> None:
    """The steps are lease, mark, trash and deletion; bytes of a version stay."""
    named = stored(world)
    sha256 = published(registry, tmp_path, b"nobody names me")
    assert registry.artifacts.collect_garbage(grace_s=0).unreferenced_blobs == 0
    world.advance_clock(DAYS_2)
    assert registry.artifacts.collect_garbage(grace_s=DAY).unreferenced_blobs == 1
    assert stored(world) == {*named, sha256}
    world.advance_clock(DAYS_2)
    done = registry.artifacts.collect_garbage(grace_s=DAY)
    assert (done.removed_blobs, done.removed_bytes, done.purged_files) == (1, 15, 0)
    assert (stored(world), stored(world, "trash")) == (named, {sha256})
    with pytest.raises(BlobNotFound):
        registry.artifacts.get_blob(sha256)
    assert registry.artifacts.collect_garbage(trash_s=0).purged_bytes == 15
    assert (stored(world), stored(world, "trash")) == (named, set())
    types = [event.type for event in registry.events.after(0, limit=1_000) if event.subject == f"blobs/{sha256}"]
    assert types == ["registry.blob.published", "registry.blob.removed"]


def test_a_dry_run_reports_the_result_and_changes_nothing(world: World, registry: HttpRegistry, tmp_path: Path) -> None:
    """Its numbers equal those of the run that follows."""
    published(registry, tmp_path, b"nobody names me")
    registry.artifacts.begin_upload("ab" * 32, 7)
    world.advance_clock(DAYS_2)
    registry.artifacts.collect_garbage(grace_s=DAY)
    registry.artifacts.begin_upload("cd" * 32, 7)
    world.advance_clock(DAYS_2)
    before = world.stored_state()
    would = registry.artifacts.collect_garbage(dry_run=True, grace_s=DAY)
    assert world.stored_state() == before
    did = registry.artifacts.collect_garbage(grace_s=DAY)
    assert replace(would, dry_run=False) == did
    assert (did.removed_blobs, did.expired_uploads) == (1, 1)


def test_marked_bytes_that_are_used_again_stay(world: World, registry: HttpRegistry, tmp_path: Path) -> None:
    """A presence query, an upload or a version uses them."""
    contents = [b"asked for", b"sent again", b"named", b"in parts"]
    digests = [published(registry, tmp_path, content) for content in contents]
    world.advance_clock(DAYS_2)
    assert registry.artifacts.collect_garbage(grace_s=DAY).unreferenced_blobs == 4
    world.advance_clock(DAYS_2)
    assert registry.artifacts.check_presence([digests[0]]).missing == []
    published(registry, tmp_path, contents[1])
    version_of(registry, "eurusd-direction", contents[2])
    assert registry.artifacts.begin_upload(digests[3], len(contents[3])).complete
    assert registry.artifacts.collect_garbage(grace_s=0).removed_blobs == 0
    assert stored(world) >= set(digests)


def test_tombstoned_versions_free_their_bytes(world: World, registry: HttpRegistry, tmp_path: Path) -> None:
    """This happens after the retention; bytes of other versions, the manifest and the digest stay."""
    only, both = b"only in the old one", b"in both"
    for contents in ([only, both], [both]):
        folder = tmp_path / str(len(contents))
        folder.mkdir()
        for number, content in enumerate(contents):
            (folder / f"{number}.bin").write_bytes(content)
        last = registry.register("eurusd-direction", folder, framework="test")
    old = last.version - 1
    registry.versions.tombstone("eurusd-direction", old, reason="wrong", force=True)
    world.advance_clock(timedelta(days=29))
    assert registry.artifacts.collect_garbage(grace_s=0).released_versions == 0
    world.advance_clock(DAYS_2)
    assert registry.artifacts.collect_garbage(grace_s=0).released_versions == 1
    assert registry.artifacts.collect_garbage(grace_s=0).removed_blobs == 0
    assert hashlib.sha256(only).hexdigest() not in stored(world)
    assert hashlib.sha256(both).hexdigest() in stored(world)
    assert len(registry.versions.manifest("eurusd-direction", old).files) == 2
    registry.fetch(last.reference)
    with pytest.raises(VersionNotFound):
        registry.fetch(f"models:/eurusd-direction/{old}", cache=Cache(tmp_path / "fresh"))


def test_a_file_without_a_row_goes_to_the_trash(world: World, registry: HttpRegistry) -> None:
    """A crash before the row is written leaves such a file; a recent file may still get its row."""
    orphan = hashlib.sha256(b"orphan").hexdigest()
    place = world.backend._home / "blobs" / "sha256" / orphan[:2] / orphan
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"orphan")
    assert registry.artifacts.collect_garbage().orphan_files == 0
    assert registry.artifacts.collect_garbage(grace_s=0).orphan_files == 1
    assert orphan in stored(world, "trash")


def test_damage_is_found_reported_and_repaired(world: World, registry: HttpRegistry, tmp_path: Path) -> None:
    """Damaged bytes are not served, and an upload replaces them."""
    version = version_of(registry, "eurusd-direction", b"precious")
    sha256 = hashlib.sha256(b"precious").hexdigest()
    place = world.backend._home / "blobs" / "sha256" / sha256[:2] / sha256
    assert registry.artifacts.verify_blob(sha256).sound
    place.write_bytes(b"qrecious")
    found = registry.artifacts.verify_blob(sha256)
    assert (found.sound, found.blob.quarantined_at is not None) == (False, True)
    assert (sha256 in stored(world), stored(world, "quarantine")) == (False, {sha256})
    assert not registry.artifacts.verify_blob(sha256).sound
    with pytest.raises(BlobDamaged):
        registry.fetch(version.reference)
    with pytest.raises(BlobNotFound):
        registry.artifacts.get_blob(sha256)
    again = version_of(registry, "eurusd-direction", b"precious")
    snapshot = registry.fetch(version.reference)
    assert (snapshot.folder / "model.bin").read_bytes() == b"precious"
    assert again.digest == version.digest
    types = [event.type for event in registry.events.after(0, limit=1_000) if event.subject == f"blobs/{sha256}"]
    assert types == [f"registry.blob.{what}" for what in ("published", "quarantined", "restored")]


def test_a_version_with_bytes_in_quarantine_is_refused(world: World, registry: HttpRegistry) -> None:
    """The client must upload the bytes again before it registers the version."""
    version_of(registry, "eurusd-direction", b"precious")
    sha256 = hashlib.sha256(b"precious").hexdigest()
    (world.backend._home / "blobs" / "sha256" / sha256[:2] / sha256).write_bytes(b"qrecious")
    assert not registry.artifacts.verify_blob(sha256).sound
    body = {"framework": "test", "files": [{"path": "model.bin", "size": 8, "sha256": sha256}]}
    answer = world.send("POST", "/v1/models/eurusd-direction/versions", body)
    refusal = problem(answer)
    assert (answer.status_code, refusal["code"]) == (409, "blob_missing")
    assert (refusal["field"], refusal["value"]) == ("sha256", sha256)


def test_bytes_restored_by_hand_are_used_after_verification(world: World, registry: HttpRegistry) -> None:
    """The existence of the file is not enough; a successful verification ends the quarantine with an event."""
    version = version_of(registry, "eurusd-direction", b"precious")
    sha256 = hashlib.sha256(b"precious").hexdigest()
    place = world.backend._home / "blobs" / "sha256" / sha256[:2] / sha256
    place.write_bytes(b"qrecious")
    quarantined = registry.artifacts.verify_blob(sha256).blob.quarantined_at
    for wrong in (b"qrecious", b"precious and more", b""):
        place.write_bytes(wrong)
        found = registry.artifacts.verify_blob(sha256)
        assert (found.sound, found.blob.quarantined_at) == (False, quarantined)
    place.write_bytes(b"precious")
    with pytest.raises(BlobDamaged, match="PUT the same bytes"):
        registry.fetch(version.reference)
    assert registry.artifacts.check_presence([sha256]).missing == [sha256]
    for _ in range(2):
        found = registry.artifacts.verify_blob(sha256)
        assert (found.sound, found.blob.quarantined_at) == (True, None)
    assert (registry.fetch(version.reference).folder / "model.bin").read_bytes() == b"precious"
    types = [event.type for event in registry.events.after(0, limit=1_000) if event.subject == f"blobs/{sha256}"]
    assert types == [f"registry.blob.{what}" for what in ("published", "quarantined", "restored")]


def test_damage_is_in_the_log_of_the_server_once(
    world: World, registry: HttpRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """The level is ERROR."""
    version_of(registry, "eurusd-direction", b"precious")
    sha256 = hashlib.sha256(b"precious").hexdigest()
    (world.backend._home / "blobs" / "sha256" / sha256[:2] / sha256).write_bytes(b"qrecious")
    for _ in range(2):
        assert not registry.artifacts.verify_blob(sha256).sound
    (record_of_damage,) = (record for record in caplog.records if sha256 in record.getMessage())
    assert record_of_damage.levelname == "ERROR"
    assert "is damaged and is now in quarantine" in record_of_damage.getMessage()


def test_only_an_admin_collects(world: World) -> None:
    """The uploader may not."""
    with world.backend.registry("workbench") as workbench, pytest.raises(Forbidden):
        workbench.artifacts.collect_garbage(dry_run=True)


def test_the_collector_removes_nothing_during_uploads(server: Server, name: str, tmp_path: Path) -> None:
    """It runs without grace while many clients register the same bytes; every version has all its bytes."""
    seed = 20_261_124
    print(f"seed {seed}")
    contents = [f"{name} {number}".encode() for number in range(6)]
    over = threading.Event()

    def collect() -> int:
        removed = 0
        with server.registry() as registry:
            while not over.is_set():
                removed += registry.artifacts.collect_garbage(grace_s=0, trash_s=0).removed_blobs
        return removed

    def upload(writer: int) -> None:
        chance = random.Random(seed + writer)
        with server.registry() as registry:
            for turn in range(8):
                folder = tmp_path / f"{writer}-{turn}"
                folder.mkdir()
                for content in chance.sample(contents, 2):
                    (folder / f"{contents.index(content)}.bin").write_bytes(content)
                version = registry.register(name, folder, framework="test")
                registry.fetch(version.reference, cache=Cache(tmp_path / f"cache-{writer}-{turn}"))
                if turn % 2:
                    registry.versions.tombstone(name, version.version, reason="next", force=True)

    with server.registry() as registry, ThreadPoolExecutor(4) as pool:
        registry.models.create(name, "regression")
        collecting = pool.submit(collect)
        try:
            list(pool.map(upload, range(3)))
        finally:
            over.set()
        collecting.result()
        left = list(registry.versions.search(name))
        assert len(left) == 3 * 4
        for version in left:
            registry.fetch(version.reference, cache=Cache(tmp_path / "last"))


def test_uploads_of_two_principals_are_separate(world: World, tmp_path: Path) -> None:
    """No principal continues, sees or ends the upload of another."""
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    sha256, first = (hashlib.sha256(b"0123456789"[:end]).hexdigest() for end in (10, 4))
    with world.backend.registry("workbench") as one, world.backend.registry("workbench") as other:
        one.artifacts.begin_upload(sha256, 10)
        one.artifacts.put_part(sha256, Source(file, 0, 4), first)
        for refused in (
            lambda: other.artifacts.get_upload(sha256),
            lambda: other.artifacts.delete_upload(sha256),
            lambda: other.artifacts.put_part(sha256, Source(file, 4), sha256),
        ):
            with pytest.raises(UploadNotFound, match="no open upload of"):
                refused()
        assert other.artifacts.begin_upload(sha256, 10).received == 0
        assert one.artifacts.put_part(sha256, Source(file, 4), sha256).complete
        assert other.artifacts.begin_upload(sha256, 10).complete


def test_a_mark_is_removed_when_bytes_are_referenced_again(
    world: World, registry: HttpRegistry, tmp_path: Path
) -> None:
    """An old mark does not count for bytes that were in use in the meantime."""
    sha256 = published(registry, tmp_path, b"in use, on and off")
    world.advance_clock(DAYS_2)
    assert registry.artifacts.collect_garbage(grace_s=DAY).unreferenced_blobs == 1
    published(registry, tmp_path, b"in use, on and off")
    assert registry.artifacts.collect_garbage(grace_s=DAY).unreferenced_blobs == 0
    world.advance_clock(DAYS_2)
    done = registry.artifacts.collect_garbage(grace_s=DAY)
    assert (done.unreferenced_blobs, done.removed_blobs) == (1, 0)
    assert sha256 in stored(world)
    world.advance_clock(DAYS_2)
    assert registry.artifacts.collect_garbage(grace_s=DAY).removed_blobs == 1


def test_bytes_used_during_a_collection_stay(
    world: World, registry: HttpRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector checks each blob again in the transaction that removes it."""
    wanted, unwanted = (published(registry, tmp_path, content) for content in (b"wanted", b"unwanted"))
    world.advance_clock(DAYS_2)
    assert registry.artifacts.collect_garbage(grace_s=DAY).unreferenced_blobs == 2
    world.advance_clock(DAYS_2)
    real = CollectionRecords.list_marked

    async def late(records: CollectionRecords, before: datetime) -> list[str]:
        due = await real(records, before)
        env = world.backend.env
        until = env.now() + timedelta(hours=1)
        await env.database.write(lambda rows: rows.artifacts.lease([wanted], "admin", until))
        return due

    monkeypatch.setattr(CollectionRecords, "list_marked", late)
    assert registry.artifacts.collect_garbage(grace_s=DAY).removed_blobs == 1
    assert wanted in stored(world)
    assert unwanted not in stored(world)
    assert registry.artifacts.check_presence([wanted]).missing == []
