"""Send an operation once over httpx, for asyncio. Each event loop has its own connections, which end with the loop."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, cast

import httpx

from common_lib.client import socket_deadline
from common_lib.client.failures import FAILURES, Failure, to_failure
from common_lib.client.transport import (
    CHUNK,
    CLASSES,
    Body,
    chunks_of,
    client_arguments,
    has_raw_bytes,
    max_calls,
    request_arguments,
    start_offset,
    to_answer,
)
from common_lib.config import RegistryConfig
from common_lib.errors import TooManyCalls
from common_lib.operations.base import Answer, Operation, RouteClass, Source

# How often a coroutine may await again after `close`: httpx does so a few times.
_MAX_AWAITS = 20


class AsyncTransport:
    """The asynchronous transport: it sends attempts with httpx, and has one connection pool for each event loop.

    If the caller cancels an attempt, the attempt continues in the background until its timeout, and then returns its
    connection. httpcore would never free the connection of a send that is cancelled while others wait for a connection
    (encode/httpcore#1093). All attempts in progress count against `most_calls`, also those that the caller cancelled.
    """

    def __init__(self, config: RegistryConfig, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._config = config
        self._replaced = transport
        self._lock = threading.Lock()
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}
        self._closed = False

    async def send(
        self, operation: Operation[Any], timeout_s: float, headers: Sequence[tuple[str, str]] = (), url: str = ""
    ) -> Answer | Failure:
        """Send an operation once. Return its answer, whose body goes to the operation's sink if there is one."""
        pool = self._pools.get(asyncio.get_running_loop())
        if pool is None or pool.client.is_closed:
            pool = await self._open()
        sending = pool.sending[operation.route_class]
        if len(sending) >= max_calls(self._config):
            detail = f"{self._config.url}: {len(sending)} calls are in progress, which is the limit of most_calls"
            return Failure(TooManyCalls, detail, sent=False)
        wanted = asyncio.Event()
        wanted.set()
        task = asyncio.ensure_future(self._send(pool.client, operation, timeout_s, headers, url, wanted=wanted))
        sending.add(task)
        task.add_done_callback(sending.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The transfer stops after the current chunk, because the caller does not want the rest.
            wanted.clear()
            task.add_done_callback(_retrieve_exception)
            raise

    async def close(self) -> None:
        """Wait for attempts in progress, then close the connections. A stopped loop closes its own when it ends."""
        self._closed = True
        here = asyncio.get_running_loop()
        for loop, pool in list(self._pools.items()):
            if loop is here:
                await pool.close(self._config.attempt_timeout_s)
            elif loop.is_closed():
                pool.drop()
            elif loop.is_running():
                elsewhere = asyncio.run_coroutine_threadsafe(pool.close(self._config.attempt_timeout_s), loop)
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(asyncio.wrap_future(elsewhere), 2 * self._config.attempt_timeout_s)
        if self._replaced is not None:
            await self._replaced.aclose()

    def drop_ended(self) -> None:
        """Close the sockets that belong to closed event loops."""
        for loop, pool in list(self._pools.items()):
            if loop.is_closed():
                pool.drop()

    async def _open(self) -> "_Pool":
        """Create the connection pool of the running event loop, and drop the pools of closed event loops."""
        if self._closed:
            raise RuntimeError("the connection pools are closed")
        here = asyncio.get_running_loop()
        client = httpx.AsyncClient(**client_arguments(self._config, self._replaced, httpx.AsyncHTTPTransport))
        socket_deadline.install(client)
        pool = _Pool(client)
        with self._lock:
            ended = [loop for loop in self._pools if loop.is_closed()]
            for loop in ended:
                self._pools.pop(loop).drop()
            self._pools[here] = pool
        if self._replaced is None:
            await pool.end_with(here)
        return pool

    async def _send(
        self,
        client: httpx.AsyncClient,
        operation: Operation[Any],
        timeout_s: float,
        headers: Sequence[tuple[str, str]],
        url: str,
        *,
        wanted: asyncio.Event,
    ) -> Answer | Failure:
        # The deadline applies only to this task, which ends with the attempt.
        socket_deadline.set_deadline(time.monotonic() + timeout_s)
        endpoint = url or self._config.url
        try:
            content = None if operation.upload is None else _read_in_threads(operation.upload, wanted)
            sink = operation.sink
            async with client.stream(
                **request_arguments(operation, timeout_s, headers, url, self._config), content=content or operation.body
            ) as response:
                if sink is None or not has_raw_bytes(response):
                    body = Body(operation, response, self._config)
                    async for chunk in _chunks(response):
                        if body.add(chunk):
                            break
                    return to_answer(response, bytes(body.content), endpoint)
                await asyncio.to_thread(sink.begin, start_offset(response))
                async with contextlib.aclosing(_batched(_chunks(response))) as pieces:
                    async for piece in pieces:
                        if not wanted.is_set():
                            raise httpx.ReadError("the caller no longer waits for the answer")
                        await asyncio.to_thread(sink.write, piece)
                return to_answer(response, b"", endpoint)
        except FAILURES as error:
            return to_failure(error, endpoint)


class _Pool:
    """The connection pool of one event loop."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.sending: dict[RouteClass, set[asyncio.Task[Answer | Failure]]] = {name: set() for name in CLASSES}
        self._hook: AsyncGenerator[None, None] | None = None

    async def end_with(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close the connections when the loop closes its asynchronous generators, as `asyncio.run` does."""
        if not getattr(loop, "_asyncgens_shutdown_called", False):
            self._hook = _closing(self.client)
            await anext(self._hook)

    async def close(self, patience_s: float) -> None:
        """Wait at most `patience_s` seconds for attempts in progress, then close the connections."""
        if sending := set().union(*self.sending.values()):
            await asyncio.wait(sending, timeout=patience_s)
        await (self.client.aclose() if self._hook is None else self._hook.aclose())

    def drop(self) -> None:
        """Close the sockets directly, because the event loop that they belong to is closed."""
        for task in set().union(*self.sending.values()):
            _close_coroutine(task.get_coro())
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - that it is pending is known
        socket_deadline.close_sockets(self.client)


async def _closing(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.aclose()


def _close_coroutine(coroutine: Any) -> None:
    """Close a coroutine of a closed event loop. Otherwise Python would warn that the coroutine was never awaited."""
    for _ in range(_MAX_AWAITS):
        try:
            coroutine.close()
        except Exception:  # noqa: BLE001, S112 - it awaits while it is closed, or fails without its loop: closed again
            continue
        return


def _retrieve_exception(task: "asyncio.Task[Answer | Failure]") -> None:
    # Otherwise the event loop would log that the exception was never retrieved.
    if not task.cancelled():
        task.exception()


async def _read_in_threads(source: Source, wanted: asyncio.Event) -> AsyncIterator[bytes]:
    chunks = chunks_of(source)
    try:
        while chunk := await asyncio.to_thread(next, chunks, b""):
            if not wanted.is_set():
                raise httpx.WriteError("the caller no longer waits for the answer")
            yield chunk
    finally:
        chunks.close()


async def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    if response.is_stream_consumed:
        yield response.content
        return
    async for chunk in response.aiter_raw():
        yield chunk


async def _batched(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Join small chunks into larger ones, because a switch to another thread for each small chunk costs time."""
    batch: list[bytes] = []
    length = 0
    try:
        async for chunk in chunks:
            batch.append(chunk)
            length += len(chunk)
            if length >= CHUNK:
                yield b"".join(batch)
                batch, length = [], 0
    except httpx.HTTPError:
        # Write the bytes that arrived before the connection broke, so that they need not be sent again.
        yield b"".join(batch)
        raise
    if batch:
        yield b"".join(batch)


async def wait_for_result(future: Any, seconds: float) -> Any:
    """Wait for a future of another thread or event loop. Return its result, or None after the given number of seconds.

    `asyncio.wrap_future` is not used: it raises an error if the event loop was closed in the meantime.
    """
    loop = asyncio.get_running_loop()
    here: asyncio.Future[Any] = loop.create_future()

    def set_result(value: Any) -> None:
        if not here.done():
            here.set_result(value)

    def pass_on(done: Any) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(set_result, cast("Any", done).result())

    future.add_done_callback(pass_on)
    try:
        return await asyncio.wait_for(here, seconds)
    except TimeoutError:
        return None
