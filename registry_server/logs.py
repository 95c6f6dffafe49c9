"""One JSON object a line on standard error; of a request, its id, method, path and outcome."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

_KNOWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# What uvicorn says last when a start or an end fails; whoever ran the server says why, in a sentence.
_TOLD_BETTER = frozenset({"Application startup failed. Exiting.", "Application shutdown failed. Exiting."})
_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonLines(logging.Formatter):
    """Time, level, logger and message, then whatever the caller gave as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _KNOWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line).decode()


class AccessLine(msgspec.Struct):
    """The line of one request: what was asked for and how it went, nothing of its headers, query or body."""

    time: datetime
    request_id: str
    method: str
    path: str
    status: int
    ms: float
    level: str = "info"
    logger: str = "registry_server.access"
    message: str = "request"

    def write(self) -> None:
        """Write the line at once; a record of the standard library's logging costs ten times as much."""
        stream = sys.stderr.buffer
        stream.write(_encode(self) + b"\n")
        stream.flush()


def configure() -> None:
    """Send the server's logs to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(lambda record: record.getMessage() not in _TOLD_BETTER)
    for name in ("registry_server", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if name == "registry_server" else logging.WARNING)
