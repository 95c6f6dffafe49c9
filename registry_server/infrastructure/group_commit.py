"""Group commit: use cases run one by one on the event loop, and a thread makes many of them durable by one COMMIT.

Each use case runs in its own SAVEPOINT, and nobody is answered before the COMMIT, so before the fsync. Only the COMMIT
waits for the disk, so only it is moved to a thread: to move the use cases too would cost a create a third of its time,
in wake-ups and cold caches, and win nothing, because the interpreter runs one thread at a time.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, NamedTuple, TypeVar, cast

import apsw

from registry_server.domain.errors import StorageUnavailable
from registry_server.infrastructure.use_cases import refuse_waiting

T = TypeVar("T")
R = TypeVar("R")
_BATCH = 64


class _Job(NamedTuple):
    use_case: Callable[[Any], Awaitable[Any]]
    done: "asyncio.Future[Any]"


class _Result(NamedTuple):
    job: _Job
    value: Any
    error: BaseException | None


class GroupCommit(Generic[R]):
    """The one writer of a database file, on the event loop that made it."""

    def __init__(self, raw: apsw.Connection, records: R) -> None:
        self._raw = raw
        self._records = records
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Job] = deque()
        self._results: list[_Result] = []
        self._next: asyncio.Handle | None = None
        self._committing = False
        self._batch = 1  # how many the last commit served
        self._commit_s = 0.0  # how long it took
        self._closing: asyncio.Future[None] | None = None
        self._commits: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="registry-commits", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it takes writes."""
        return self._closing is None and self._thread.is_alive()

    async def write(self, use_case: Callable[[R], Awaitable[T]]) -> T:
        """Run a use case in a transaction with its neighbours; what it raises rolls it back alone.

        Raises:
            StorageUnavailable: the writer is closed, or the disk failed; then nothing of the use case is kept.
        """
        if not self.alive:
            raise StorageUnavailable("the database is closed", remedy="start the server again")
        job = _Job(use_case, self._loop.create_future())
        self._waiting.append(job)
        if not self._committing and len(self._waiting) == 1:
            self._advance()
        done: T = await job.done
        return done

    async def close(self) -> None:
        """Finish the writes that wait, then end."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            if not (self._committing or self._waiting or self._results):
                self._closing.set_result(None)
        await self._closing
        self._commits.put(False)
        await asyncio.to_thread(self._thread.join)

    def _advance(self) -> None:
        """Run the next use case that waits; commit if there is none, or if there are many."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if not self._waiting or len(self._results) >= _BATCH:
            self._commit()
            return
        job = self._waiting.popleft()
        if not job.done.done():
            try:
                if not self._results:
                    self._raw.execute("BEGIN IMMEDIATE")
                self._results.append(_Result(job, *self._attempt(job)))
            except BaseException as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
                self._results.append(_Result(job, None, error))
                self._end(error)
                return
        if self._waiting:
            # Not in a row: reads have their turn in between.
            self._next = self._loop.call_soon(self._advance)
        elif self._results and len(self._results) < self._batch and self._closing is None:
            # Those whom the last commit served are about to come again; to commit without them makes them wait for two.
            self._next = self._loop.call_later(self._commit_s, self._advance)
        else:
            self._commit()

    def _commit(self) -> None:
        if self._results:
            self._committing = True
            self._commits.put(True)
        else:
            self._rest()

    def _attempt(self, job: _Job) -> tuple[Any, BaseException | None]:
        self._raw.execute("SAVEPOINT use_case")
        try:
            value = drive(job.use_case(self._records))
        except (apsw.FullError, apsw.IOError):
            raise
        except BaseException as error:
            if not self._raw.in_transaction:
                # SQLite rolled the whole batch back by itself: the rest must not run outside of it.
                raise
            self._raw.execute("ROLLBACK TO use_case; RELEASE use_case")
            return None, error
        self._raw.execute("RELEASE use_case")
        return value, None

    def _work(self) -> None:
        while self._commits.get():
            failed, began = None, time.perf_counter()
            try:
                self._raw.execute("COMMIT")
            except BaseException as error:  # noqa: BLE001 - the thread lives on for the others
                failed = error
            self._commit_s = time.perf_counter() - began
            # A closed loop: nobody waits there any more.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end, failed)

    def _end(self, failed: BaseException | None) -> None:
        """Answer all whom the transaction served, or tell all of them that it failed."""
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")
        results, self._results, self._committing = self._results, [], False
        self._batch = len(results)
        for job, value, error in results:
            if job.done.done():
                continue
            if failed is not None:
                job.done.set_exception(unavailable(failed))
            elif error is not None:
                job.done.set_exception(error)
            else:
                job.done.set_result(value)
        self._rest()

    def _rest(self) -> None:
        if self._waiting:
            self._next = self._loop.call_soon(self._advance)
        elif self._closing is not None and not self._closing.done():
            self._closing.set_result(None)


def drive(use_case: Awaitable[T]) -> T:
    """The result of a use case whose records never suspend.

    Raises:
        RuntimeError: it waited for something else; the error names the functions.
    """
    coroutine = cast("Coroutine[Any, Any, T]", use_case)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    raise refuse_waiting(coroutine)


def unavailable(error: BaseException) -> StorageUnavailable:
    """The refusal of a database that failed, which changed nothing."""
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
