"""SQLite through apsw: one writer thread that commits for all who wait, point reads on the event loop.

Each use case runs in its own SAVEPOINT; one COMMIT, and so one fsync, makes the whole batch durable, and only then does
anybody get an answer. The port never suspends, so the writer drives a use case's coroutine by itself.
"""

import asyncio
import contextlib
import hashlib
import os
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import apsw

from registry_server.core.ports import Records as RecordsPort
from registry_server.domain.errors import StorageUnavailable
from registry_server.infrastructure import sql as statements
from registry_server.infrastructure.records import Records
from registry_server.infrastructure.schema import HISTORY_TABLE, check_history, new_source
from registry_server.infrastructure.sql import Row

T = TypeVar("T")
UseCase = Callable[[RecordsPort], Awaitable[T]]
_BATCH = 64
# Builds of SQLite before this can lose acknowledged commits in WAL mode when two connections are open.
_SAFE_WAL = (3, 51, 3)


class _Job(NamedTuple):
    use_case: UseCase[Any]
    done: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop


class _Result(NamedTuple):
    job: _Job
    value: Any
    error: BaseException | None


class Connection:
    """An apsw connection in the words of `Sql`; it never suspends."""

    def __init__(self, raw: apsw.Connection) -> None:
        self.raw = raw

    async def one(self, sql: str, *values: Any) -> Row | None:
        # An unexhausted RETURNING cursor breaks the neighbours' savepoints, so all rows are fetched.
        rows = self.raw.execute(statements.sqlite(sql), values).fetchall()
        return rows[0] if rows else None

    async def all(self, sql: str, *values: Any) -> Sequence[Row]:
        return self.raw.execute(statements.sqlite(sql), values).fetchall()

    async def execute(self, sql: str, *values: Any) -> int:
        self.raw.execute(statements.sqlite(sql), values).fetchall()
        return self.raw.changes()

    async def execute_many(self, sql: str, rows: Iterable[Row]) -> None:
        self.raw.executemany(statements.sqlite(sql), list(rows)).fetchall()

    async def claim(self, name: str) -> bool:  # noqa: ARG002 - one process owns the file and holds its own claims
        return True


class Reader(Connection):
    """A read-only connection: point reads at once, lists in a thread of their own so that they stall nobody."""

    def __init__(self, points: apsw.Connection, lists: apsw.Connection) -> None:
        super().__init__(points)
        self._lists = lists
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="registry-lists")

    async def one(self, sql: str, *values: Any) -> Row | None:
        try:
            return await super().one(sql, *values)
        except apsw.Error as error:
            raise _unavailable(error) from error

    async def all(self, sql: str, *values: Any) -> Sequence[Row]:
        def run() -> Sequence[Row]:
            return self._lists.execute(statements.sqlite(sql), values).fetchall()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except apsw.Error as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """End the thread and both connections."""
        self._thread.shutdown()
        self._lists.close()
        self.raw.close()


class SqliteDatabase:
    """The registry's records in one file, or, without a path, in memory."""

    read: RecordsPort
    source: str

    def __init__(self, path: Path | None, *, vfs: str | None = None) -> None:
        self._path = path
        self._vfs = vfs
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._reader: Reader | None = None

    def migrate(self) -> list[str]:
        """Open the file, bring its schema up to date, and name the steps that were taken."""
        self._writer = Connection(self._connect(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE))
        raw = self._writer.raw
        if self._path is not None:
            mode = "WAL" if tuple(map(int, apsw.sqlite_lib_version().split("."))) >= _SAFE_WAL else "DELETE"
            raw.execute(f"PRAGMA journal_mode = {mode}").fetchall()
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute("PRAGMA foreign_keys = ON")
        try:
            return self._migrate(raw)
        except BaseException:
            raw.close()
            raise

    async def open(self) -> None:
        """Bring the schema up to date and begin to take reads and writes."""
        self.migrate()
        if self._path is None:
            self.read = Records(self._writer)
            return
        self._reader = Reader(self._connect(apsw.SQLITE_OPEN_READONLY), self._connect(apsw.SQLITE_OPEN_READONLY))
        self.read = Records(self._reader)
        self._thread = threading.Thread(target=self._work, name="registry-writer", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Finish the writes that wait, then close."""
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._writer.raw.close()

    async def write(self, use_case: UseCase[T]) -> T:
        """Run a use case in one durable transaction; what it raises rolls it back whole."""
        if self._path is None:
            with _transaction(self._writer.raw):
                return _drive(use_case(Records(self._writer)))
        if self._thread is None or not self._thread.is_alive():
            raise StorageUnavailable("the database is closed", remedy="start the server again")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(use_case, done, loop))
        return await done

    async def ping(self) -> None:
        """Return if the file answers and the writer is alive."""
        try:
            await (self._reader or self._writer).one("SELECT 1 FROM meta LIMIT 1")
        except apsw.Error as error:
            raise _unavailable(error) from None
        if self._path is not None and (self._thread is None or not self._thread.is_alive()):
            raise StorageUnavailable("the writer has ended", remedy="see the server's log and start it again")

    def _migrate(self, raw: apsw.Connection) -> list[str]:
        taken = []
        with _transaction(raw):
            raw.execute(HISTORY_TABLE)
            steps = statements.migrations("sqlite")
            history = raw.execute("SELECT number, name, sha256 FROM migrations ORDER BY number").fetchall()
            for step in check_history(steps, history):
                raw.execute(step.text)
                digest = hashlib.sha256(step.text.encode()).hexdigest()
                raw.execute("INSERT INTO migrations VALUES (?1, ?2, ?3)", (step.number, step.name, digest))
                taken.append(f"{step.number:04d}_{step.name}")
            raw.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('source', ?1)", (new_source(),))
            self.source = str(raw.execute("SELECT value FROM meta WHERE key = 'source'").fetchall()[0][0])
        return taken

    def _connect(self, flags: int) -> apsw.Connection:
        if self._path is not None:
            # SQLite itself would let the umask decide who may read; its companion files follow this one.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        raw = apsw.Connection(":memory:" if self._path is None else str(self._path), flags=flags, vfs=self._vfs)
        raw.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
        # Stable query plans: without re-planning for each bound value a point read takes a third of the time.
        raw.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        raw.set_busy_timeout(5_000)
        return raw

    def _work(self) -> None:
        records = Records(self._writer)
        while (job := self._jobs.get()) is not None:
            batch = [job]
            while len(batch) < _BATCH:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    self._jobs.put(None)
                    break
                batch.append(following)
            self._commit(records, batch)

    def _commit(self, records: Records, batch: list[_Job]) -> None:
        raw = self._writer.raw
        results: list[_Result] = []
        try:
            with _transaction(raw):
                results = [_Result(job, *self._attempt(records, job)) for job in batch]
        except BaseException as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever and the writer lives on
            results = [_Result(job, None, _unavailable(error)) for job in batch]
        _settle(results)

    def _attempt(self, records: Records, job: _Job) -> tuple[Any, BaseException | None]:
        raw = self._writer.raw
        raw.execute("SAVEPOINT use_case")
        try:
            value = _drive(job.use_case(records))
        except (apsw.FullError, apsw.IOError):
            raise
        except BaseException as error:
            if not raw.in_transaction:
                # SQLite rolled the whole batch back by itself: the rest must not run outside of it.
                raise
            raw.execute("ROLLBACK TO use_case; RELEASE use_case")
            return None, error
        raw.execute("RELEASE use_case")
        return value, None


class _transaction:  # noqa: N801 - reads as a word of the language
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK."""

    def __init__(self, raw: apsw.Connection) -> None:
        self._raw = raw

    def __enter__(self) -> None:
        self._raw.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._raw.execute("COMMIT")
        finally:
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")


def _drive(use_case: Awaitable[T]) -> T:
    coroutine = cast("Coroutine[Any, Any, T]", use_case)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    coroutine.close()
    raise RuntimeError("a use case waited for something other than its records")


def _settle(results: list[_Result]) -> None:
    # One wake-up for each event loop: each hands the interpreter over, which the rest of the batch would wait for.
    for loop in {result.job.loop for result in results}:
        # A closed loop: nobody waits there any more, and the writer must live on for the others.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_answer, [result for result in results if result.job.loop is loop])


def _answer(results: list[_Result]) -> None:
    for job, value, error in results:
        if job.done.done():
            continue
        if error is None:
            job.done.set_result(value)
        else:
            job.done.set_exception(error)


def _unavailable(error: BaseException) -> StorageUnavailable:
    if isinstance(error, apsw.FullError):
        return StorageUnavailable(
            "the disk is full (FullError)",
            remedy="nothing was changed; free space on the server and send it again",
            code="storage_full",
        )
    return StorageUnavailable(
        f"the database failed: {type(error).__name__}",
        remedy="nothing was changed; see the server's log for the disk or file it names, then try again",
    )
