"""The load generator: a process of its own, so that it takes no time from the server's interpreter.

Reads jobs from standard input, a JSON object a line, and answers each by `[answers, seconds, processor seconds]`. It
parses no more of an answer than its status and length.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

_HOST = "127.0.0.1"
_GRACE_S = 30.0


class Run:
    """What all connections share: the requests, and when it is enough."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.requests: Iterator[bytes] = itertools.cycle([text.encode("latin-1") for text in job["requests"]])
        self.expected = f"HTTP/1.1 {job['status']} ".encode()
        self.count: int = job["count"]
        self.seconds: float = job["seconds"]
        self.sent = 0
        self.answers = 0
        self.open = 0
        self.ended = asyncio.get_running_loop().create_future()
        self.deadline = time.perf_counter() + self.seconds

    def next(self) -> bytes | None:
        """The next request, or None when it is enough."""
        if self.sent >= self.count or time.perf_counter() >= self.deadline:
            return None
        self.sent += 1
        return next(self.requests)

    def fail(self, error: Exception) -> None:
        """End the run without a result."""
        if not self.ended.done():
            self.ended.set_exception(error)


class Connection(asyncio.Protocol):
    """One keep-alive connection: the next request leaves when the answer is whole."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._received = b""
        self._length = -1
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count this connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._run.open += 1

    def send(self) -> None:
        """Send the next request, or close."""
        raw = self._run.next()
        if raw is not None:
            self._transport.write(raw)
            return
        self._transport.close()
        self._run.open -= 1
        if not self._run.open and not self._run.ended.done():
            self._run.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Go on when the answer is whole."""
        received = self._received = self._received + data if self._received else data
        if self._length < 0:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            if not received.startswith(self._run.expected):
                self._run.fail(RuntimeError(f"not the answer that was expected: {received[:300]!r}"))
                return
            at = received.find(b"content-length: ", 0, end)
            body = int(received[at + 16 : received.index(b"\r", at)]) if at >= 0 else 0
            self._length = end + 4 + body
        if len(received) >= self._length:
            self._received, self._length = b"", -1
            self._run.answers += 1
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the run unless it closed the connection itself."""
        if not self._transport.is_closing() or exc is not None:
            self._run.fail(exc or ConnectionError("the server closed a connection"))


async def generate(job: dict[str, Any]) -> tuple[int, float, float]:
    """Answers, wall-clock seconds, processor seconds."""
    loop = asyncio.get_running_loop()
    run = Run(job)
    made = [
        await loop.create_connection(lambda: Connection(run), _HOST, job["port"]) for _ in range(job["connections"])
    ]
    began, cpu = time.perf_counter(), time.process_time()
    run.deadline = began + run.seconds
    for _, connection in made:
        connection.send()
    await asyncio.wait_for(run.ended, run.seconds + _GRACE_S)
    return run.answers, time.perf_counter() - began, time.process_time() - cpu


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(asyncio.run(generate(json.loads(line)))), flush=True)
