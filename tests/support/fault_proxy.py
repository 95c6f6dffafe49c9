"""A proxy over real sockets between a client and a server, which simulates faults of the network."""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_CHUNK = 64 * 1024
_RESET = b"\1\0\0\0\0\0\0\0"  # SO_LINGER: closing sends a reset


@dataclass(frozen=True)
class Fault:
    """A fault of one request; this base class has no effect."""


@dataclass(frozen=True)
class CutRequest(Fault):
    """Reset of both connections after so many bytes of the request, including its head."""

    after: int


@dataclass(frozen=True)
class CutAnswer(Fault):
    """Close of both connections after so many bytes of the answer, including its head."""

    after: int


@dataclass(frozen=True)
class LostAnswer(Fault):
    """Reset of the connection instead of the answer; the server has executed the request."""


@dataclass(frozen=True)
class Latency(Fault):
    """Delay of the answer by so many seconds."""

    seconds: float


@dataclass(frozen=True)
class ByteByByte(Fault):
    """Answer of one byte at a time, with a pause after each."""

    pause_s: float


@dataclass(frozen=True)
class HalfOpen(Fault):
    """Request that is accepted and never answered; the server does not receive it."""


@dataclass
class FaultProxy:
    """A proxy that passes requests on unchanged, except for planned faults."""

    server: str
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    sent_up: int = 0
    sent_down: int = 0
    always: Fault | None = None
    _planned: deque[tuple[bytes, Fault]] = field(default_factory=deque)

    def plan(self, *faults: Fault, of: bytes = b"") -> None:
        """Plan one fault for each of the next requests whose heads contain `of`."""
        self._planned.extend((of, fault) for fault in faults)

    @property
    def planned(self) -> int:
        """Number of planned faults that have not occurred yet."""
        return len(self._planned)

    def fault_of(self, head: bytes) -> Fault:
        """Record the head of a request, and return its fault."""
        self.requests.append(head)
        for planned in self._planned:
            if planned[0] in head:
                self._planned.remove(planned)
                return planned[1]
        return self.always or Fault()

    async def serve(self, down: asyncio.StreamReader, down_writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a client."""
        parts = urlsplit(self.server)
        up, up_writer = await asyncio.open_connection(parts.hostname, parts.port)
        exchange = _Exchange(self, down, down_writer, up, up_writer)
        ways = [asyncio.ensure_future(exchange.requests()), asyncio.ensure_future(exchange.answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            up_writer.transport.abort()
            down_writer.close()
            await down_writer.wait_closed()


@dataclass
class _Exchange:
    """The requests and answers of one connection, in turn."""

    proxy: FaultProxy
    down: asyncio.StreamReader
    down_writer: asyncio.StreamWriter
    up: asyncio.StreamReader
    up_writer: asyncio.StreamWriter
    fault: Fault = field(default_factory=Fault)
    answering: bool = True
    passed: int = 0

    async def requests(self) -> None:
        """Pass on the bytes that the client sends."""
        while chunk := await self.down.read(_CHUNK):
            if self.answering:
                self.answering, self.passed = False, 0
                self.fault = self.proxy.fault_of(chunk)
            if isinstance(self.fault, HalfOpen):
                continue
            if isinstance(self.fault, CutRequest):
                chunk = chunk[: self.fault.after - self.passed]
            self.passed += len(chunk)
            self.proxy.sent_up += len(chunk)
            self.up_writer.write(chunk)
            await self.up_writer.drain()
            if isinstance(self.fault, CutRequest) and self.passed == self.fault.after:
                self._reset()
                break

    async def answers(self) -> None:
        """Pass on the bytes that the server sends."""
        while chunk := await self.up.read(_CHUNK):
            if not self.answering:
                self.answering, self.passed = True, 0
                if isinstance(self.fault, LostAnswer):
                    self._reset()
                    break
                if isinstance(self.fault, Latency):
                    await asyncio.sleep(self.fault.seconds)
            if isinstance(self.fault, CutAnswer):
                chunk = chunk[: self.fault.after - self.passed]
            await self._pass_down(chunk)
            self.passed += len(chunk)
            if isinstance(self.fault, CutAnswer) and self.passed == self.fault.after:
                break

    async def _pass_down(self, chunk: bytes) -> None:
        step = 1 if isinstance(self.fault, ByteByByte) else len(chunk)
        for start in range(0, len(chunk), step):
            self.down_writer.write(chunk[start : start + step])
            await self.down_writer.drain()
            self.proxy.sent_down += step
            if isinstance(self.fault, ByteByByte):
                await asyncio.sleep(self.fault.pause_s)

    def _reset(self) -> None:
        for writer in (self.down_writer, self.up_writer):
            found = writer.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


@contextlib.contextmanager
def faulty(server: str) -> Iterator[FaultProxy]:
    """Start a proxy in front of a server, on an event loop in a thread of its own."""
    proxy, started, loop = FaultProxy(server), threading.Event(), asyncio.new_event_loop()
    ended = asyncio.Event()

    async def run() -> None:
        connections: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            task.add_done_callback(connections.discard)
            # A failed connection to the server ends that of the client too.
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await proxy.serve(reader, writer)

        listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=_CHUNK)
        proxy.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        started.set()
        await ended.wait()
        listening.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), name="fault-proxy")
    thread.start()
    started.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
