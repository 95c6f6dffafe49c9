"""Bytes on a connection: heads, framing and pipelines, sent to a real server over a socket."""

import contextlib
import logging
import random
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httptools

from registry_server.serving import running
from registry_server.settings import Settings
from tests.fuzz.harness import Run, Target
from tests.fuzz.mutators import any_bytes

_TIMEOUT_S: Final = 0.4
_ANSWER_S: Final = 10.0
_HOST: Final = b"Host: 127.0.0.1\r\n"
_VALID: Final = (
    b"GET /health/live HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"GET /v1/models?limit=2 HTTP/1.1\r\n" + _HOST + b"Authorization: Bearer mrg_x\r\nConnection: close\r\n\r\n",
    b"POST /v1/models HTTP/1.1\r\n" + _HOST + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    b"PUT /v1/blobs/"
    + b"a" * 64
    + b" HTTP/1.1\r\n"
    + _HOST
    + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    (b"GET /health/live HTTP/1.1\r\n" + _HOST + b"\r\n") * 3,
    b"GET /health/live HTTP/1.1\r\n" + _HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /health/live HTTP/1.1\r\n" + _HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
)
_TOKENS: Final = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"HTTP/2.0",
        b"HTTP/1.0",
        b"HTTP/0.9",
        b"Host: x\r\n",
        b"\x00",
        b"\xff",
    ),
    *(b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"chunked, gzip", b"#"),
    *(b"CONNECT x:1", b"*", b"http://evil.example/", b"0" * 40, b"f" * 18, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
)


class Refused(Exception):
    """A refusal of the bytes by a 4xx response or by closing the connection."""


class _Answers:
    """A parser of the received bytes as a sequence of HTTP responses."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self._parser = httptools.HttpResponseParser(self)

    def on_headers_complete(self) -> None:
        self.statuses.append(self._parser.get_status_code())

    def feed(self, content: bytes) -> None:
        self._parser.feed_data(content)


def _exchange(address: tuple[str, int], case: bytes) -> bytes:
    """Send bytes, end the stream, and return all received bytes."""
    received, until = b"", time.monotonic() + _ANSWER_S
    with socket.create_connection(address, timeout=_ANSWER_S) as connection:
        with contextlib.suppress(OSError):  # after a refusal the server may not read the rest
            connection.sendall(case)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while more := connection.recv(65_536):
                received += more
                assert time.monotonic() < until, "the connection stays open"
    return received


@contextlib.contextmanager
def _served() -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="fuzz-server-") as name:
        times = {"head_timeout_s": _TIMEOUT_S, "body_timeout_s": _TIMEOUT_S}
        with running(Settings(data=Path(name, "data"), port=0, access_log=False, **times)) as url:
            place = urlsplit(url)
            address = (place.hostname or "", place.port or 0)
            with _tracebacks() as logged:

                def run(case: bytes) -> None:
                    try:
                        _run(address, case)
                    finally:
                        assert not logged, logged.pop().getMessage()

                yield run


@contextlib.contextmanager
def _tracebacks() -> Iterator[list[logging.LogRecord]]:
    """Collect the log records with a traceback; no client can cause one."""
    found: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record) if record.exc_info else None  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("registry_server", "uvicorn", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield found
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def _run(address: tuple[str, int], case: bytes) -> None:
    received = _exchange(address, case)
    answers = _Answers()
    # A response to HEAD has a length but no body, so the start of the next response is unknown.
    if received and not re.search(rb"HEAD", case):
        answers.feed(received)
        assert answers.statuses, received[:200]
    assert all(status < 500 for status in answers.statuses), received[:500]
    if not received or any(status >= 400 for status in answers.statuses):
        raise Refused(received[:100])


def _mutated(chance: random.Random, case: bytes) -> bytes:
    if chance.random() < 0.4:
        return any_bytes(chance, case)
    place = chance.choice([match.start() for match in re.finditer(rb"\r\n| |:|$", case)])
    length = chance.choice((0, 0, 1, 2, 8))
    return case[:place] + chance.choice(_TOKENS) + case[place + length :]


TARGETS: Final[list[Any]] = [
    Target(
        name="raw-requests",
        seeds=lambda: [_VALID[0], _VALID[4]],
        mutate=lambda chance, case: _mutated(chance, chance.choice((case, *_VALID))),
        runner=_served,
        refusals=(Refused,),
    )
]
