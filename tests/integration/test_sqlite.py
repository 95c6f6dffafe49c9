"""The SQLite engine: group commit, isolation in a batch, and failing disks."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from registry_server.domain.errors import StorageUnavailable
from registry_server.infrastructure.schema_history import SchemaMismatch
from registry_server.infrastructure.sqlite import SqliteDatabase
from registry_server.queries import Records

pytestmark = pytest.mark.anyio


class Disk(apsw.VFS):
    """A real file system that counts fsyncs, can block them, and can be full or broken."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.syncs = 0
        self.error: type[Exception] | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        super().__init__(name, "")

    def hold(self) -> None:
        """Block the next fsync; `entered` is set when it begins."""
        self.entered.clear()
        self.gate.clear()

    def xOpen(self, name: Any, flags: Any) -> Any:  # noqa: N802 - SQLite's name
        """Open a watched file."""
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: Any) -> None:
        self._disk = disk
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.entered.set()
        self._disk.gate.wait(10)
        self._disk.syncs += 1
        super().xSync(flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._disk.error is not None:
            raise self._disk.error
        super().xWrite(data, offset)


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, like the server."""
    return "asyncio"


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    """Provide a watched disk for this test."""
    watched = Disk(f"disk-{abs(hash(request.node.nodeid))}")
    yield watched
    watched.unregister()


@pytest.fixture
async def database(tmp_path: Path, disk: Disk) -> AsyncIterator[SqliteDatabase]:
    """Provide an open database on the watched disk."""
    opened = SqliteDatabase(tmp_path / "registry.sqlite3", vfs=disk.name)
    await opened.open()
    yield opened
    disk.error = None
    disk.gate.set()
    await opened.close()


def _keep(digest: str) -> Any:
    async def use_case(records: Records) -> str:
        await records.artifacts.insert_document(digest, b"{}")
        return digest

    return use_case


async def test_writes_that_wait_share_one_fsync(database: SqliteDatabase, disk: Disk) -> None:
    """Writes that arrive during a blocked commit share the next commit."""
    before = disk.syncs
    disk.hold()
    first = asyncio.ensure_future(database.write(_keep("first")))
    await asyncio.to_thread(disk.entered.wait, 10)
    rest = [asyncio.ensure_future(database.write(_keep(f"d{n}"))) for n in range(30)]
    await asyncio.sleep(0)
    disk.gate.set()
    assert await asyncio.gather(first, *rest) == ["first", *(f"d{n}" for n in range(30))]
    assert disk.syncs - before <= 3


async def test_a_failed_write_does_not_affect_others_in_its_batch(database: SqliteDatabase, disk: Disk) -> None:
    """In one batch failed writes are rolled back, and the others are stored."""

    async def refused(records: Records) -> None:
        await records.artifacts.insert_document("never", b"{}")
        raise KeyError("refused")

    disk.hold()
    first = asyncio.ensure_future(database.write(_keep("first")))
    await asyncio.to_thread(disk.entered.wait, 10)
    batch = [asyncio.ensure_future(database.write(case)) for case in (_keep("a"), refused, _keep("b"))]
    await asyncio.sleep(0)
    disk.gate.set()
    outcomes = await asyncio.gather(first, *batch, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [str, str, KeyError, str]
    stored = [await database.read.artifacts.find_document(digest) for digest in ("first", "a", "b", "never")]
    assert stored == [b"{}", b"{}", b"{}", None]


async def test_a_write_returns_only_after_the_fsync(database: SqliteDatabase, disk: Disk) -> None:
    """A write with a blocked fsync is not acknowledged."""
    disk.hold()
    waiting = asyncio.ensure_future(database.write(_keep("held")))
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    disk.gate.set()
    assert await waiting == "held"


@pytest.mark.parametrize(("error", "why"), [(apsw.FullError, "the disk is full"), (apsw.IOError, "IOError")])
async def test_a_failing_disk_refuses_and_recovers(
    database: SqliteDatabase, disk: Disk, error: type[Exception], why: str
) -> None:
    """A failed write stores nothing, and the next one succeeds when the disk works."""
    disk.error = error
    with pytest.raises(StorageUnavailable, match=why):
        await database.write(_keep("lost"))
    disk.error = None
    assert await database.read.artifacts.find_document("lost") is None
    assert await database.write(_keep("stored")) == "stored"


async def test_a_caller_that_is_gone_does_not_stop_the_writer(database: SqliteDatabase, disk: Disk) -> None:
    """A write cancelled during its commit is stored, one cancelled before its turn never runs, and others succeed."""
    disk.hold()
    during = asyncio.ensure_future(database.write(_keep("during")))
    await asyncio.to_thread(disk.entered.wait, 10)
    before = asyncio.ensure_future(database.write(_keep("before")))
    following = asyncio.ensure_future(database.write(_keep("next")))
    await asyncio.sleep(0)
    during.cancel()
    before.cancel()
    disk.gate.set()
    assert await following == "next"
    stored = [await database.read.artifacts.find_document(digest) for digest in ("during", "before", "next")]
    assert stored == [b"{}", None, b"{}"]


async def test_close_finishes_waiting_writes_first(database: SqliteDatabase, disk: Disk) -> None:
    """Later writes fail."""
    disk.hold()
    waiting = [asyncio.ensure_future(database.write(_keep(f"d{n}"))) for n in range(3)]
    await asyncio.to_thread(disk.entered.wait, 10)
    closing = asyncio.ensure_future(database.close())
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable, match="closed"):
        await database.write(_keep("late"))
    disk.gate.set()
    assert await asyncio.gather(*waiting) == ["d0", "d1", "d2"]
    await closing


async def test_a_use_case_that_awaits_something_else_is_refused(database: SqliteDatabase) -> None:
    """A transaction may await records only: anything else would block all writers."""

    async def sleeps(records: Records) -> None:
        await records.artifacts.find_document("x")
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waited for something other"):
        await database.write(sleeps)
    assert await database.write(_keep("next")) == "next"


async def test_events_cannot_be_changed_or_removed(database: SqliteDatabase) -> None:
    """Triggers in the schema refuse it."""
    raw = database._writer.raw
    raw.execute("INSERT INTO events VALUES (1, x'7b7d')")
    for statement in ("UPDATE events SET body = x'00'", "DELETE FROM events"):
        with pytest.raises(apsw.ConstraintError, match="append-only"):
            raw.execute(statement)


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """It is neither opened nor altered."""
    file = tmp_path / "newer.sqlite3"
    database = SqliteDatabase(file)
    await database.open()
    database._writer.raw.execute("INSERT INTO migrations VALUES (9999, 'future', '00')")
    await database.close()
    with pytest.raises(SchemaMismatch, match="9999_future"):
        await SqliteDatabase(file).open()


async def test_the_database_uses_wal_with_full_fsync(database: SqliteDatabase) -> None:
    """This needs a build of SQLite with a safe WAL mode."""
    raw = database._writer.raw
    assert raw.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    assert raw.execute("PRAGMA synchronous").fetchall() == [(2,)]
    assert raw.execute("PRAGMA foreign_keys").fetchall() == [(1,)]
