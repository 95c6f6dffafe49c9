"""One attempt of one operation over httpx; what goes wrong on the way comes back as a value."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import httpx

from common_lib.client import wire
from common_lib.config import RegistryConfig
from common_lib.errors import AnswerTimedOut, ConnectionFailed, InvalidRequest, RegistryUnavailable, TooManyCalls
from common_lib.operations.base import Answer, Operation, RouteClass, Source

_CHUNK = 1024 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_MOST_BYTES_OF_A_REFUSAL = 256 * 1024
_CLASSES: tuple[RouteClass, ...] = get_args(RouteClass)


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer came: the kind of error to raise if it stays so, and what happened."""

    kind: type[RegistryUnavailable]
    detail: str


class Transport:
    """Attempts over a pool of blocking connections."""

    def __init__(self, config: RegistryConfig, transport: httpx.BaseTransport | None = None) -> None:
        self._config = config
        self._client = httpx.Client(**_client(config), transport=transport)
        wire.bound(self._client)

    def send(
        self, operation: Operation[Any], timeout_s: float, headers: Sequence[tuple[str, str]] = (), url: str = ""
    ) -> Answer | Failure:
        """Send it once within that time and read the answer whole, or its bytes into the operation's sink."""
        before = wire.end_at(time.monotonic() + timeout_s)
        try:
            content = None if operation.upload is None else _chunks(operation.upload)
            sink = operation.sink
            with self._client.stream(
                **_request(operation, timeout_s, headers, url, self._config), content=content or operation.body
            ) as response:
                if sink is None or not response.is_success:
                    body = _Body(operation, response, self._config)
                    for chunk in _pieces(response):
                        if body.has_enough_with(chunk):
                            break
                    return _answer(response, bytes(body.whole))
                sink.begin(_begins_at(response))
                for chunk in _pieces(response):
                    sink.write(chunk)
                return _answer(response, b"")
        except httpx.HTTPError as error:
            return _failure(error, url or self._config.url)
        finally:
            wire.end_at(before)

    def close(self) -> None:
        """Close the pool."""
        self._client.close()

    def abandon(self) -> None:
        """Let go of the pool in a process that was forked off; it goes on in the parent."""
        wire.abandon(self._client)


class AsyncTransport:
    """Attempts over a pool of connections of an event loop.

    An attempt that is cancelled goes on by itself until its timeout, and its connection is given back: cancelled in
    the middle, a send under contention leaves its connection in the pool for ever (encode/httpcore#1093). What is
    under way, wanted or not, counts against `most_calls`, so those that nobody waits for are bounded in number too.
    """

    def __init__(self, config: RegistryConfig, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._config = config
        self._client = httpx.AsyncClient(**_client(config), transport=transport)
        wire.bound(self._client)
        self._sending: dict[RouteClass, set[asyncio.Task[Answer | Failure]]] = {name: set() for name in _CLASSES}

    async def send(
        self, operation: Operation[Any], timeout_s: float, headers: Sequence[tuple[str, str]] = (), url: str = ""
    ) -> Answer | Failure:
        """Send it once within that time and read the answer whole, or its bytes into the operation's sink."""
        sending = self._sending[operation.route_class]
        if len(sending) >= _most_calls(self._config):
            return Failure(TooManyCalls, f"{self._config.url}: {len(sending)} calls are under way or not yet ended")
        wanted = asyncio.Event()
        wanted.set()
        task = asyncio.ensure_future(self._send(operation, timeout_s, headers, url, wanted))
        sending.add(task)
        task.add_done_callback(sending.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The transfer of bytes ends with the chunk it is at; nobody will take what comes behind it.
            wanted.clear()
            task.add_done_callback(_looked_at)
            raise

    async def close(self) -> None:
        """Wait for what is under way, then close the pool."""
        if sending := set().union(*self._sending.values()):
            await asyncio.wait(sending, timeout=self._config.attempt_timeout_s)
        await self._client.aclose()

    async def _send(
        self,
        operation: Operation[Any],
        timeout_s: float,
        headers: Sequence[tuple[str, str]],
        url: str,
        wanted: asyncio.Event,
    ) -> Answer | Failure:
        # For this task alone, which ends with the attempt.
        wire.end_at(time.monotonic() + timeout_s)
        try:
            content = None if operation.upload is None else _threaded(operation.upload, wanted)
            sink = operation.sink
            async with self._client.stream(
                **_request(operation, timeout_s, headers, url, self._config), content=content or operation.body
            ) as response:
                if sink is None or not response.is_success:
                    body = _Body(operation, response, self._config)
                    async for chunk in _async_pieces(response):
                        if body.has_enough_with(chunk):
                            break
                    return _answer(response, bytes(body.whole))
                await asyncio.to_thread(sink.begin, _begins_at(response))
                async with contextlib.aclosing(_gathered(_async_pieces(response))) as pieces:
                    async for piece in pieces:
                        if not wanted.is_set():
                            raise httpx.ReadError("nobody waits for it any more")
                        await asyncio.to_thread(sink.write, piece)
                return _answer(response, b"")
        except httpx.HTTPError as error:
            return _failure(error, url or self._config.url)


def _looked_at(task: "asyncio.Task[Answer | Failure]") -> None:
    # Otherwise the event loop would tell that nobody looked at the error.
    if not task.cancelled():
        task.exception()


def _most_calls(config: RegistryConfig) -> int:
    """How many calls of one class may be under way, at all addresses together."""
    return config.most_calls * len(config.urls)


def _client(config: RegistryConfig) -> dict[str, Any]:
    # Bodies are read raw, so that what is hashed is what was sent.
    headers = {"user-agent": "model-registry-client", "accept-encoding": "identity"}
    if config.token:
        headers["authorization"] = f"Bearer {config.token}"
    # As many as the calls of all classes together: a class that hangs must not take the connections of another.
    most = _most_calls(config)
    limits = httpx.Limits(max_connections=most * len(_CLASSES), max_keepalive_connections=most)
    return {"base_url": config.url, "headers": headers, "follow_redirects": False, "limits": limits}


def _request(
    operation: Operation[Any], timeout_s: float, more: Sequence[tuple[str, str]], url: str, config: RegistryConfig
) -> dict[str, Any]:
    headers = [*operation.headers, *more]
    if operation.body is not None and "content-type" not in dict(headers):
        headers.append(("content-type", "application/json"))
    if operation.upload is not None:
        headers.append(("content-type", "application/octet-stream"))
        headers.append(("content-length", str(_length(operation.upload))))
    if operation.sink is not None and operation.sink.held:
        headers.append(("range", f"bytes={operation.sink.held}-"))
    pause_s = min(timeout_s, config.blob_timeout_s) if operation.route_class == "blob" else timeout_s
    return {
        "method": operation.method,
        "url": url.rstrip("/") + operation.path if url else operation.path,
        "params": operation.query,
        "headers": headers,
        "timeout": httpx.Timeout(pause_s, connect=min(timeout_s, config.attempt_timeout_s)),
    }


def _length(source: Source) -> int:
    if source.length is not None:
        return source.length
    try:
        return source.path.stat().st_size - source.start
    except OSError as error:
        raise InvalidRequest(
            f"{str(source.path)!r} cannot be read: {error.strerror}",
            code="invalid_path",
            remedy="pass the path of a file",
            field="file",
            value=str(source.path),
        ) from None


def _begins_at(response: httpx.Response) -> int:
    """Where in the whole the bytes of an answer begin."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return 0
    match = re.match(r"^bytes ([0-9]{1,18})-", response.headers.get("content-range", ""))
    if match is None:
        raise httpx.DecodingError("a partial answer that does not say which part it is")
    return int(match[1])


def _answer(response: httpx.Response, body: bytes) -> Answer:
    return Answer(response.status_code, dict(response.headers), body)


class _Body:
    """The body of an answer as it comes in, bounded in size; of a refusal, its beginning is enough."""

    def __init__(self, operation: Operation[Any], response: httpx.Response, config: RegistryConfig) -> None:
        self.whole = bytearray()
        self._is_success = response.is_success
        if operation.route_class == "blob":
            # The transfer of bytes before it took as long as it took; what is said about it must come within this.
            wire.end_within(config.blob_timeout_s)

    def has_enough_with(self, chunk: bytes) -> bool:
        self.whole += chunk
        if self._is_success and len(self.whole) > _MOST_BYTES:
            raise httpx.DecodingError(f"the answer has more than {_MOST_BYTES} bytes")
        return not self._is_success and len(self.whole) > _MOST_BYTES_OF_A_REFUSAL


def _failure(error: httpx.HTTPError, url: str) -> Failure:
    kind: type[RegistryUnavailable] = ConnectionFailed
    if isinstance(error, httpx.PoolTimeout):
        kind = TooManyCalls
    elif isinstance(error, httpx.TimeoutException):
        kind = AnswerTimedOut
    return Failure(kind, f"{url}: {type(error).__name__}: {error}".rstrip(": "))


def _chunks(source: Source) -> Generator[bytes, None, None]:
    # Opened here: a generator that never starts would never close what it was given.
    with source.path.open("rb", buffering=0) as file:
        position = file.seek(source.start)
        end = position + _length(source)
        while position < end and (chunk := file.read(min(_CHUNK, end - position))):
            position += len(chunk)
            yield chunk
            if source.sent is not None:
                source.sent(position)


async def _threaded(source: Source, wanted: asyncio.Event) -> AsyncIterator[bytes]:
    chunks = _chunks(source)
    try:
        while chunk := await asyncio.to_thread(next, chunks, b""):
            if not wanted.is_set():
                raise httpx.WriteError("nobody waits for it any more")
            yield chunk
    finally:
        chunks.close()


def _pieces(response: httpx.Response) -> Iterator[bytes]:
    # A transport that stands for the network in a test may bring the body whole; httpx gives that no second time.
    return iter([response.content]) if response.is_stream_consumed else response.iter_raw()


async def _async_pieces(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    if response.is_stream_consumed:
        yield response.content
        return
    async for chunk in response.aiter_raw():
        yield chunk


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes in larger pieces: a hop to a thread for each packet would cost more than the work."""
    held: list[bytes] = []
    length = 0
    try:
        async for chunk in chunks:
            held.append(chunk)
            length += len(chunk)
            if length >= _CHUNK:
                yield b"".join(held)
                held, length = [], 0
    except httpx.HTTPError:
        # What came before a cut need not come again.
        yield b"".join(held)
        raise
    if held:
        yield b"".join(held)
