"""A real server in a thread of the test process, with time limits that are short enough for tests, and its log."""

import contextlib
import json
import logging
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from registry_server.logs import JsonLines
from registry_server.serving import RegistryServer, create_server
from registry_server.settings import Settings
from tests.security.test_sockets import DEADLINE_S, Served


class Running(NamedTuple):
    """A server with its HTTP interface and its object in this process."""

    outside: Served
    inside: RegistryServer


@contextlib.contextmanager
def serving(data: Path, **settings: Any) -> Iterator[Running]:
    """Run a server until the block ends."""
    inside = create_server(Settings(data=data, port=0, **({"access_log": False} | settings)))
    started = threading.Event()
    inside.on_start = started.set
    thread = threading.Thread(target=inside.run)
    thread.start()
    try:
        assert started.wait(DEADLINE_S)
        yield Running(Served(inside.url, data), inside)
    finally:
        inside.should_exit = True
        thread.join(DEADLINE_S)


class Lines(logging.Handler):
    """A handler that stores the lines of the server's log in the format of `logs.configure`."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        """Store the formatted line."""
        self.texts.append(self.format(record))

    def one(self, **facts: Any) -> dict[str, Any]:
        """Wait for the security log line with these fields and return it; the server writes it after the response."""
        end = time.monotonic() + DEADLINE_S
        while not (found := self.security(**facts)):
            assert time.monotonic() < end, (facts, self.texts)
            select.select([], [], [], 0.01)
        (line,) = found
        return line

    def security(self, **facts: Any) -> list[dict[str, Any]]:
        """Return the lines of the security log with these fields, the oldest first."""
        lines = [json.loads(text) for text in list(self.texts)]
        found = [line for line in lines if line["logger"] == "registry_server.security"]
        return [line for line in found if facts.items() <= line.items()]


@contextlib.contextmanager
def lines() -> Iterator[Lines]:
    """Collect the log lines that a server writes to standard error."""
    recorder = Lines()
    loggers = [logging.getLogger(name) for name in ("registry_server", "uvicorn.error", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(recorder)
        logger.setLevel(logging.INFO if logger.name == "registry_server" else logging.WARNING)
    try:
        yield recorder
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(recorder)
            logger.setLevel(level)
