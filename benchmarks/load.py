"""The load generator: a separate process, so that it takes no time from the server's interpreter.

It reads jobs from standard input, one JSON object per line, and writes `[responses, seconds, processor seconds]` for
each. Of a response it parses only status and length.
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
    """The state that all connections share: the requests, and the condition for the end."""

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
        """Return the next request, or None when the run is over."""
        if self.sent >= self.count or time.perf_counter() >= self.deadline:
            return None
        self.sent += 1
        return next(self.requests)

    def fail(self, error: Exception) -> None:
        """End the run with an error."""
        if not self.ended.done():
            self.ended.set_exception(error)


class Connection(asyncio.Protocol):
    """A keep-alive connection that sends the next request when the response is complete."""

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
        """Send the next request when the response is complete."""
        received = self._received = self._received + data if self._received else data
        if self._length < 0:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            if not received.startswith(self._run.expected):
                self._run.fail(RuntimeError(f"unexpected response: {received[:300]!r}"))
                return
            at = received.find(b"content-length: ", 0, end)
            body = int(received[at + 16 : received.index(b"\r", at)]) if at >= 0 else 0
            self._length = end + 4 + body
        if len(received) >= self._length:
            self._received, self._length = b"", -1
            self._run.answers += 1
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the run, unless the run closed the connection itself."""
        if not self._transport.is_closing() or exc is not None:
            self._run.fail(exc or ConnectionError("the server closed a connection"))


async def generate(job: dict[str, Any]) -> tuple[int, float, float]:
    """Run a job; return the number of responses, wall-clock seconds and processor seconds."""
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
