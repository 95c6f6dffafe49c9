"""Group commit: use cases run one after another on the event loop, and a thread commits many of them together.

Each use case runs in its own SAVEPOINT. Its caller gets the result only after the COMMIT, which includes the fsync.
Only the COMMIT waits for the disk, so only the COMMIT runs in a thread. If use cases ran in a thread, creating a model
would take a third longer (wake-ups, cold caches), without any gain: the interpreter runs one thread at a time.
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

from registry_server.domain import errors
from registry_server.infrastructure.use_case_waits import refuse_waiting

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
    """The only writer of a database file, on the event loop that created it."""

    def __init__(self, raw: apsw.Connection, records: R) -> None:
        self._raw = raw
        self._records = records
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Job] = deque()
        self._results: list[_Result] = []
        self._next: asyncio.Handle | None = None
        self._committing = False
        self._last_batch = 1  # use cases in the last commit
        self._commit_s = 0.0  # duration of the last commit
        self._closing: asyncio.Future[None] | None = None
        self._commits: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run_commits, name="registry-commits", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """True while the writer accepts use cases."""
        return self._closing is None and self._thread.is_alive()

    async def write(self, use_case: Callable[[R], Awaitable[T]]) -> T:
        """Run a use case in a transaction that it shares with others; an exception rolls back this use case only.

        Raises:
            StorageUnavailable: the writer is closed, or the disk failed; nothing of the use case is stored.
        """
        if not self.is_alive:
            raise errors.DatabaseClosed
        job = _Job(use_case, self._loop.create_future())
        self._waiting.append(job)
        if not self._committing and len(self._waiting) == 1:
            self._run_next()
        done: T = await job.done
        return done

    async def close(self) -> None:
        """Wait until all waiting use cases are committed, then end the thread."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            if not (self._committing or self._waiting or self._results):
                self._closing.set_result(None)
        await self._closing
        self._commits.put(False)
        await asyncio.to_thread(self._thread.join)

    def _run_next(self) -> None:
        """Run the next waiting use case; commit if none waits or the batch is full."""
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
                self._results.append(_Result(job, *self._run_in_savepoint(job)))
            except BaseException as error:  # noqa: BLE001 - without a result the callers would wait for ever
                self._results.append(_Result(job, None, error))
                self._deliver(error)
                return
        if self._waiting:
            # Scheduled instead of called, so that reads can run in between.
            self._next = self._loop.call_soon(self._run_next)
        elif self._results and len(self._results) < self._last_batch and self._closing is None:
            # Callers of the last commit often write again now. A commit without them would delay them by two commits.
            self._next = self._loop.call_later(self._commit_s, self._run_next)
        else:
            self._commit()

    def _commit(self) -> None:
        if self._results:
            self._committing = True
            self._commits.put(True)
        else:
            self._run_waiting_or_close()

    def _run_in_savepoint(self, job: _Job) -> tuple[Any, BaseException | None]:
        self._raw.execute("SAVEPOINT use_case")
        try:
            value = run_without_suspending(job.use_case(self._records))
        except (apsw.FullError, apsw.IOError):
            raise
        except BaseException as error:
            if not self._raw.in_transaction:
                # SQLite has rolled back the whole batch; the other use cases must not run outside a transaction.
                raise
            self._raw.execute("ROLLBACK TO use_case; RELEASE use_case")
            return None, error
        self._raw.execute("RELEASE use_case")
        return value, None

    def _run_commits(self) -> None:
        while self._commits.get():
            failed, began = None, time.perf_counter()
            try:
                self._raw.execute("COMMIT")
            except BaseException as error:  # noqa: BLE001 - the thread must survive for later commits
                failed = error
            self._commit_s = time.perf_counter() - began
            # A closed event loop has no waiting callers.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._deliver, failed)

    def _deliver(self, failed: BaseException | None) -> None:
        """Set the result of each use case in the transaction for its caller; if the commit failed, set the failure."""
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")
        results, self._results, self._committing = self._results, [], False
        self._last_batch = len(results)
        for job, value, error in results:
            if job.done.done():
                continue
            if failed is not None:
                job.done.set_exception(database_failure(failed))
            elif error is not None:
                job.done.set_exception(error)
            else:
                job.done.set_result(value)
        self._run_waiting_or_close()

    def _run_waiting_or_close(self) -> None:
        if self._waiting:
            self._next = self._loop.call_soon(self._run_next)
        elif self._closing is not None and not self._closing.done():
            self._closing.set_result(None)


def run_without_suspending(use_case: Awaitable[T]) -> T:
    """Run a use case without an event loop, because its records never suspend, and return its result.

    Raises:
        RuntimeError: the use case waited for something other than its records; the error lists the functions.
    """
    coroutine = cast("Coroutine[Any, Any, T]", use_case)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    raise refuse_waiting(coroutine)


def database_failure(error: BaseException) -> errors.StorageUnavailable:
    """Build the error for a failed database, which says that nothing was changed."""
    if isinstance(error, apsw.FullError):
        return errors.StorageFull()
    return errors.DatabaseFailed(error)
