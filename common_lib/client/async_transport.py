"""Attempts from event loops: each loop has connections of its own, which end with it."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, cast

import httpx

from common_lib.client import wire
from common_lib.client.failures import FAILURES, Failure, failure
from common_lib.client.transport import (
    CHUNK,
    CLASSES,
    Body,
    answer_of,
    begins_at,
    chunks_of,
    client_of,
    holds_bytes,
    most_calls,
    request_of,
)
from common_lib.config import RegistryConfig
from common_lib.errors import TooManyCalls
from common_lib.operations.base import Answer, Operation, RouteClass, Source

# How often a coroutine may await while it is closed: httpx does so a few times.
_MOST_AWAITS = 20


class AsyncTransport:
    """Attempts over a pool of connections for each event loop that uses it, at the same time or one after the other.

    An attempt that is cancelled goes on by itself until its timeout, and its connection is given back: cancelled in
    the middle, a send under contention leaves its connection in the pool for ever (encode/httpcore#1093). What is
    under way, wanted or not, counts against `most_calls`, so those that nobody waits for are bounded in number too.
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
        """Send it once within that time and read the answer whole, or its bytes into the operation's sink."""
        pool = self._pools.get(asyncio.get_running_loop())
        if pool is None or pool.client.is_closed:
            pool = await self._open()
        sending = pool.sending[operation.route_class]
        if len(sending) >= most_calls(self._config):
            return Failure(
                TooManyCalls, f"{self._config.url}: {len(sending)} calls are under way or not yet ended", sent=False
            )
        wanted = asyncio.Event()
        wanted.set()
        task = asyncio.ensure_future(self._send(pool.client, operation, timeout_s, headers, url, wanted=wanted))
        sending.add(task)
        task.add_done_callback(sending.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The transfer of bytes ends with the chunk it is at; nobody will take what comes behind it.
            wanted.clear()
            task.add_done_callback(_look_at)
            raise

    async def close(self) -> None:
        """Wait for what is under way, then close the pools; that of a loop that is not running ends with the loop."""
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
        """Let go of the pools of event loops that have ended without closing them."""
        for loop, pool in list(self._pools.items()):
            if loop.is_closed():
                pool.drop()

    async def _open(self) -> "_Pool":
        """Make the pool of this loop, and forget those of loops that have ended."""
        if self._closed:
            raise RuntimeError("the pools are closed")
        here = asyncio.get_running_loop()
        client = httpx.AsyncClient(**client_of(self._config, self._replaced, httpx.AsyncHTTPTransport))
        wire.bound(client)
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
        # For this task alone, which ends with the attempt.
        wire.end_at(time.monotonic() + timeout_s)
        address = url or self._config.url
        try:
            content = None if operation.upload is None else _threaded(operation.upload, wanted)
            sink = operation.sink
            async with client.stream(
                **request_of(operation, timeout_s, headers, url, self._config), content=content or operation.body
            ) as response:
                if sink is None or not holds_bytes(response):
                    body = Body(operation, response, self._config)
                    async for chunk in _pieces(response):
                        if body.has_enough_with(chunk):
                            break
                    return answer_of(response, bytes(body.whole), address)
                await asyncio.to_thread(sink.begin, begins_at(response))
                async with contextlib.aclosing(_gathered(_pieces(response))) as pieces:
                    async for piece in pieces:
                        if not wanted.is_set():
                            raise httpx.ReadError("nobody waits for it any more")
                        await asyncio.to_thread(sink.write, piece)
                return answer_of(response, b"", address)
        except FAILURES as error:
            return failure(error, address)


class _Pool:
    """The connections of one event loop."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.sending: dict[RouteClass, set[asyncio.Task[Answer | Failure]]] = {name: set() for name in CLASSES}
        self._hook: AsyncGenerator[None, None] | None = None

    async def end_with(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the connections be closed when the loop ends its asynchronous generators, as `asyncio.run` does."""
        if not getattr(loop, "_asyncgens_shutdown_called", False):
            self._hook = _closing(self.client)
            await anext(self._hook)

    async def close(self, patience_s: float) -> None:
        """Wait for what is under way, then close the connections."""
        if sending := set().union(*self.sending.values()):
            await asyncio.wait(sending, timeout=patience_s)
        await (self.client.aclose() if self._hook is None else self._hook.aclose())

    def drop(self) -> None:
        """Close the sockets of a loop that has ended without closing them; the loop itself is not touched."""
        for task in set().union(*self.sending.values()):
            _end(task.get_coro())
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it ended with its loop, and that is known
        wire.drop(self.client)


async def _closing(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.aclose()


def _end(work: Any) -> None:
    """Close a coroutine whose event loop has ended, or Python would complain of it whenever it is collected."""
    for _ in range(_MOST_AWAITS):
        try:
            work.close()
        except Exception:  # noqa: BLE001, S112 - it awaits on its way out, or fails for want of its loop: closed again
            continue
        return


def _look_at(task: "asyncio.Task[Answer | Failure]") -> None:
    # Otherwise the event loop would complain that nobody looked at the error.
    if not task.cancelled():
        task.exception()


async def _threaded(source: Source, wanted: asyncio.Event) -> AsyncIterator[bytes]:
    chunks = chunks_of(source)
    try:
        while chunk := await asyncio.to_thread(next, chunks, b""):
            if not wanted.is_set():
                raise httpx.WriteError("nobody waits for it any more")
            yield chunk
    finally:
        chunks.close()


async def _pieces(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    if response.is_stream_consumed:
        yield response.content
        return
    async for chunk in response.aiter_raw():
        yield chunk


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Join the bytes to larger pieces: a hop to a thread for each packet would cost more than the work."""
    held: list[bytes] = []
    length = 0
    try:
        async for chunk in chunks:
            held.append(chunk)
            length += len(chunk)
            if length >= CHUNK:
                yield b"".join(held)
                held, length = [], 0
    except httpx.HTTPError:
        # What came before a cut need not come again.
        yield b"".join(held)
        raise
    if held:
        yield b"".join(held)


async def outcome_of(waited: Any, seconds: float) -> Any:
    """Wait so many seconds for a future of another thread or loop; return None if it has not ended by then.

    `asyncio.wrap_future` would call a loop that has ended meanwhile, which raises.
    """
    loop = asyncio.get_running_loop()
    here: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any) -> None:
        if not here.done():
            here.set_result(value)

    def tell(done: Any) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, cast("Any", done).result())

    waited.add_done_callback(tell)
    try:
        return await asyncio.wait_for(here, seconds)
    except TimeoutError:
        return None
