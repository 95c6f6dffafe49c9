"""The asynchronous registry over HTTP: each call runs in a task of the caller's event loop."""

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from common_lib.client.async_transport import AsyncTransport, wait_for_result
from common_lib.client.http_client import HttpClient, advance
from common_lib.client.resolve_cache import ResolveCache
from common_lib.client.single_flight import Flight
from common_lib.client.steps import CallSteps, Pause, Refresh, Save, Send, Wait
from common_lib.client.telemetry import Telemetry
from common_lib.config import RegistryConfig
from common_lib.errors import InvalidConfiguration, RegistryError
from common_lib.operations.base import Answer, Operation
from common_lib.registry import AsyncModelRegistry
from common_lib.repetition import REPEATABLE, make_repeatable

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
# After a fork: the transports of the parent process. If they were garbage-collected, its sockets would be disturbed.
_inherited: Final[list[AsyncTransport]] = []


class AsyncHttpRegistry(HttpClient, AsyncModelRegistry):
    """A client of the registry at an address, for asyncio. Any number of tasks and event loops may share one instance.

    Each event loop has its own connections, and they are closed when the loop ends. So one instance may be used in
    several calls of `asyncio.run`, one after the other or in several threads at the same time.
    """

    def __init__(
        self,
        config: RegistryConfig | None = None,
        *,
        transport: "httpx.AsyncBaseTransport | None" = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        super().__init__(config, transport, telemetry)

    async def call(self, operation: Operation[T]) -> T:
        """Send an operation to the registry, with retries, and return its result.

        Raises:
            RequestRefused: the registry refused the request.
            RegistryUnavailable: no attempt got an answer. After a write, `retry` repeats the request, and the registry
                executes it only once.
            RegistryClosed: the client was closed before this call.
        """
        answer = None
        try:
            answer = await self._drive(operation, self._steps(operation))
            return operation.result(answer)
        except REPEATABLE as error:
            make_repeatable(error, operation, has_answer=answer is not None)
            raise

    def _connect(self) -> None:
        self._transport = AsyncTransport(self.config, self._network)
        self._register_finalizer(self._transport.drop_ended, abandon=partial(_inherited.append, self._transport))
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._background: dict[asyncio.Task[None], Callable[[], None] | None] = {}

    def _abandon_connections(self) -> None:
        _inherited.append(self._transport)

    async def _drive(self, operation: Operation[Any], steps: CallSteps) -> Answer:
        self._abandon_work_of_ended_loops()
        reply: Any = None
        try:
            while True:
                step = advance(steps, reply)
                reply = None
                match step:
                    case Send(timeout_s, headers, url):
                        try:
                            reply = await self._transport.send(operation, timeout_s, headers, url)
                        except InvalidConfiguration as error:
                            reply = error
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                    case Wait(result, seconds):
                        reply = await wait_for_result(result, seconds)
                    case Refresh(stale, flight):
                        # A task that is cancelled before it starts does not end its flight.
                        self._start(self._refresh(stale), partial(self._abandon_refresh, stale, flight))
                    case Save():
                        self._start(asyncio.to_thread(cast("ResolveCache", self._cache).save))
        except StopIteration as done:
            return cast("Answer", done.value)
        except RuntimeError as error:
            raise self._translate_closed_pool(error) from None
        finally:
            # After a cancellation the chain must still release its bulkhead and circuit.
            steps.close()

    def _abandon_refresh(self, operation: Operation[Any], flight: Flight) -> None:
        cast("ResolveCache", self._cache).abandon_refresh(operation, flight)

    def _abandon_work_of_ended_loops(self) -> None:
        """End the background tasks of closed event loops, so that later calls can start this work again."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop() is loop:
            return
        self._loop = weakref.ref(loop)
        for task in [task for task in list(self._background) if task.get_loop().is_closed()]:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - that it is pending is known
            self._end(task)

    def _end(self, task: "asyncio.Task[None]") -> None:
        at_end = self._background.pop(task, None)
        if at_end is not None:
            at_end()

    def _start(self, work: Coroutine[Any, Any, None], at_end: Callable[[], None] | None = None) -> None:
        # In a new context, so that the deadline of the call that starts this work does not limit the work.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._background[task] = at_end
        task.add_done_callback(self._end)

    async def _refresh(self, operation: Operation[Any]) -> None:
        with contextlib.suppress(RegistryError):
            await self._drive(operation, self._refresh_steps(operation))

    async def close(self) -> None:
        """Close the connections and write the cache file; later calls raise `RegistryClosed`."""
        if self._closed:
            return
        self._reset_if_forked()
        self._closed = True
        here = asyncio.get_running_loop()
        ours = [task for task in list(self._background) if task.get_loop() is here]
        for task in set(self._background) - set(ours):
            # The task belongs to another event loop, which may be ending now.
            with contextlib.suppress(RuntimeError):
                task.get_loop().call_soon_threadsafe(task.cancel)
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)
        if self._finalizer is not None:
            await asyncio.to_thread(self._finalizer)
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
