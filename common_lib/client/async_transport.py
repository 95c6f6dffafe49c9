"""Attempts over httpx from event loops: each loop has connections of its own, which end with it."""

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

# How often a coroutine may await while it is closed: httpx does so a few times.
_MAX_AWAITS = 20


class AsyncTransport:
    """Attempts over a pool of connections for each event loop that uses it, at the same time or one after the other.

    An attempt that is cancelled continues by itself until its timeout, and then returns its connection: a send that is
    cancelled under contention would leave its connection in the pool for ever (encode/httpcore#1093). All attempts
    under way count against `most_calls`, so cancelled ones are limited in number too.
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
        """Send an operation once and read the whole answer, or write its bytes into the operation's sink."""
        pool = self._pools.get(asyncio.get_running_loop())
        if pool is None or pool.client.is_closed:
            pool = await self._open()
        sending = pool.sending[operation.route_class]
        if len(sending) >= max_calls(self._config):
            detail = f"{self._config.url}: {len(sending)} calls have not ended, the limit of most_calls"
            return Failure(TooManyCalls, detail, sent=False)
        wanted = asyncio.Event()
        wanted.set()
        task = asyncio.ensure_future(self._send(pool.client, operation, timeout_s, headers, url, wanted=wanted))
        sending.add(task)
        task.add_done_callback(sending.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The transfer of bytes ends after the current chunk; the caller does not want the rest.
            wanted.clear()
            task.add_done_callback(_retrieve_exception)
            raise

    async def close(self) -> None:
        """Wait for attempts under way, then close the pools; that of a loop that is not running ends with its loop."""
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
        """Close the sockets of event loops that have ended without closing their pools."""
        for loop, pool in list(self._pools.items()):
            if loop.is_closed():
                pool.drop()

    async def _open(self) -> "_Pool":
        """Make the pool of this loop, and drop those of loops that have ended."""
        if self._closed:
            raise RuntimeError("the pools are closed")
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
        # Holds for this task alone, which ends with the attempt.
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
    """The connections of one event loop."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.sending: dict[RouteClass, set[asyncio.Task[Answer | Failure]]] = {name: set() for name in CLASSES}
        self._hook: AsyncGenerator[None, None] | None = None

    async def end_with(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close the connections when the loop ends its asynchronous generators, as `asyncio.run` does."""
        if not getattr(loop, "_asyncgens_shutdown_called", False):
            self._hook = _closing(self.client)
            await anext(self._hook)

    async def close(self, patience_s: float) -> None:
        """Wait for attempts under way, then close the connections."""
        if sending := set().union(*self.sending.values()):
            await asyncio.wait(sending, timeout=patience_s)
        await (self.client.aclose() if self._hook is None else self._hook.aclose())

    def drop(self) -> None:
        """Close the sockets of a loop that has ended without closing them, without using the loop."""
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
    """Close a coroutine whose event loop has ended; otherwise Python would warn when it is collected."""
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
    """Join chunks to larger ones: a switch to a thread for each packet would cost more than the work."""
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
        # Bytes received before the connection was cut need not be sent again.
        yield b"".join(batch)
        raise
    if batch:
        yield b"".join(batch)


async def wait_for_result(future: Any, seconds: float) -> Any:
    """Return the result of a future of another thread or loop; None if it has none after so many seconds.

    `asyncio.wrap_future` would call a loop that has ended in the meantime, which raises.
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
