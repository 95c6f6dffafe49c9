"""One JSON object a line on standard error; of a request, its id, method, path and outcome.

Every line goes through `encode_line`, which hides tokens, escapes whatever a terminal or a reader of logs could take
for more than text, and bounds each field and the line. What a client sends stands in many of these lines.
"""

import json
import logging
import math
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

import msgspec

_KNOWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# What uvicorn says when a start or an end fails, or a request is refused; our own line beside it says why.
_TOLD_BETTER = frozenset(
    {
        "Application startup failed. Exiting.",
        "Application shutdown failed. Exiting.",
        "Invalid HTTP request received.",
    }
)
_LINE_BYTES: Final = 32_768
# In characters; where the line would be too long, all its fields are cut to the next length.
_FIELD_LENGTHS: Final = (2_000, 500, 100, 20)
_TRACEBACK_TIMES: Final = 8  # longer may a traceback be
_MOST_ENTRIES, _DEEPEST = 32, 3
_TOKEN: Final = re.compile(r"mrg_[A-Za-z0-9_]{4,}", re.IGNORECASE)
_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_ROUNDS: Final = 5  # so many times a token may be percent-encoded and is still found
_FIRST: Final = ("time", "level", "logger", "message", "request_id", "method", "path", "status", "code", "peer")
_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonLines(logging.Formatter):
    """Time, level, logger and message, then whatever the caller gave as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; a record that cannot be formatted is written as far as it can be."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _KNOWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # Not by the short way: bytes in `extra`, for one, would hide a token in base64.
        return _careful(line).decode()


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
        # Not `suppress`: a context manager would cost as much as the encoding.
        try:
            stream = sys.stderr.buffer
            stream.write(encode_line(self) + b"\n")
            stream.flush()
        except (OSError, ValueError):
            # A client is not refused its answer because the reader of the log is gone.
            pass


def encode_line(line: Any) -> bytes:
    r"""Encode a struct or dict as one line of ASCII JSON without tokens, and of bounded length.

    Most lines hold nothing that needs a closer look, which three scans of the encoded bytes tell.

    >>> encode_line({"path": "/v1/tokens/mrg_secretsecret", "level": "info"})
    b'{"level":"info","path":"/v1/tokens/mrg_[redacted]"}'
    >>> encode_line({"message": "tail\u202egnp"})
    b'{"message":"tail\\u202egnp"}'
    """
    try:
        raw = _encode(line)
        text = raw.decode("ascii")
    except Exception:  # noqa: BLE001 - a lone surrogate, an object that cannot be shown, or not ASCII
        return _careful(line)
    # `%` may begin a token that is percent-encoded, and DEL is the one control character that JSON does not escape.
    if len(text) > _FIELD_LENGTHS[0] or "%" in text or "\x7f" in text or "mrg_" in text.lower():
        return _careful(line)
    return raw


def _careful(line: Any) -> bytes:
    fields = msgspec.structs.asdict(line) if isinstance(line, msgspec.Struct) else dict(line)
    ordered = sorted(fields.items(), key=lambda field: _FIRST.index(field[0]) if field[0] in _FIRST else len(_FIRST))
    encoded = b""
    for length in _FIELD_LENGTHS:
        encoded = _dumped(
            {
                _shown(str(name), 100): _safe(value, _TRACEBACK_TIMES * length if name == "exception" else length)
                for name, value in ordered[:_MOST_ENTRIES]
            }
        )
        if len(encoded) <= _LINE_BYTES:
            break
    return encoded


def _dumped(value: Any) -> bytes:
    # Escaped are all but ASCII: so are C1 and bidi controls, line separators, and lone surrogates.
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _safe(value: Any, length: int, depth: int = 0) -> Any:
    """Return the value as JSON has it, each text in it redacted and bounded."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, dict) and depth < _DEEPEST:
        entries = list(value.items())[:_MOST_ENTRIES]
        return {_shown(_text(key), 100): _safe(entry, length // 4, depth + 1) for key, entry in entries}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [_safe(entry, length // 4, depth + 1) for entry in list(value)[:_MOST_ENTRIES]]
    return _shown(_text(value), length)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    try:
        return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    except Exception:  # noqa: BLE001 - no object keeps its line from being written
        return f"<{type(value).__name__}>"


def _shown(text: str, length: int) -> str:
    # Hidden before the last cut, where half a token might not look like one; the first only bounds the work.
    return _cut(redacted(text[: 4 * length]), length, len(text))


def _cut(text: str, length: int, whole: int) -> str:
    return text if len(text) <= length else f"{text[:length]}... ({whole} characters)"


def redacted(text: str) -> str:
    """Replace what looks like a token, percent-encoded or not.

    >>> redacted("/v1/tokens/mrg%255Fsecretsecret/revoke")
    '/v1/tokens/mrg_[redacted]/revoke'
    """
    decoded = text
    for _ in range(_ROUNDS):
        if not _ENCODED.search(decoded):
            break
        decoded = unquote(decoded)
    # A text without a token stays as it was sent.
    return _TOKEN.sub("mrg_[redacted]", decoded) if _TOKEN.search(decoded) else text


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a wrong format string must not make logging print all of it unredacted
        return f"{_text(record.msg)} {_text(record.args)}"


def log_security_event(event: str, **facts: Any) -> None:
    """Write a line of the security log: a refusal and its caller, or a token that was issued or revoked.

    These lines are always written, with `--quiet` too. `facts` never hold a token, only its id.
    """
    known = {name: fact for name, fact in facts.items() if fact is not None}
    _security.info("%s", event, extra=known)


_security: Final = logging.getLogger("registry_server.security")


def configure() -> None:
    """Send the logs of the server, of uvicorn and of the event loop to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(lambda record: _message(record) not in _TOLD_BETTER)
    for name in ("registry_server", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if name == "registry_server" else logging.WARNING)
