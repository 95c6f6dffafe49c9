"""Writes logs to standard error: one JSON object per line.

The line of a request contains its id, method, path and status.

Many lines contain text from clients. Therefore every line goes through `encode_line`, which hides tokens, escapes all
characters with a special meaning for terminals or log readers, and limits the length of each field and of the line.
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
# Messages of uvicorn when it cannot start or stop, or refuses a request: the server's own line gives the reason.
_REDUNDANT_MESSAGES = frozenset(
    {"Application startup failed. Exiting.", "Application shutdown failed. Exiting.", "Invalid HTTP request received."}
)
_LINE_BYTES: Final = 32_768
# In characters: if the line would be too long, all of its fields are cut to the next length.
_FIELD_LENGTHS: Final = (2_000, 500, 100, 20)
_TRACEBACK_TIMES: Final = 8  # a traceback may be this many times longer
_MOST_ENTRIES, _DEEPEST = 32, 3
_TOKEN: Final = re.compile(r"mrg_[A-Za-z0-9_]{4,}", re.IGNORECASE)
_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_ROUNDS: Final = 5  # a token is found even if it is percent-encoded this many times
_FIRST: Final = ("time", "level", "logger", "message", "request_id", "method", "path", "status", "code", "peer")
_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonLines(logging.Formatter):
    """A log formatter that writes JSON: time, level, logger and message, followed by the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as a line. If its message cannot be formatted, the line contains the parts of the message."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _KNOWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # Without the fast path of `encode_line`: bytes in `extra` would become base64, which could hide a token.
        return _encode_bounded(line).decode()


class AccessLine(msgspec.Struct):
    """The log line of one request: method, path and status, without headers, query and body."""

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
        """Write the line directly, because the standard library's logging would take ten times as long."""
        # Not `suppress`: a context manager would cost as much as the encoding.
        try:
            stream = sys.stderr.buffer
            stream.write(encode_line(self) + b"\n")
            stream.flush()
        except (OSError, ValueError):
            # The client gets its response even if the log cannot be written.
            pass


def encode_line(line: Any) -> bytes:
    r"""Encode a struct or dict as one line of ASCII JSON that contains no tokens and has a limited length.

    Four quick checks of the encoded line find out whether it must be redacted or cut; most lines need neither.

    >>> encode_line({"path": "/v1/tokens/mrg_secretsecret", "level": "info"})
    b'{"level":"info","path":"/v1/tokens/mrg_[redacted]"}'
    >>> encode_line({"message": "tail\u202egnp"})
    b'{"message":"tail\\u202egnp"}'
    """
    try:
        raw = _encode(line)
        text = raw.decode("ascii")
    except Exception:  # noqa: BLE001 - a lone surrogate, an object that cannot be encoded, or not ASCII
        return _encode_bounded(line)
    # `%` may begin a percent-encoded token, and DEL is the only control character that JSON does not escape.
    if len(text) > _FIELD_LENGTHS[0] or "%" in text or "\x7f" in text or "mrg_" in text.lower():
        return _encode_bounded(line)
    return raw


def _encode_bounded(line: Any) -> bytes:
    fields = msgspec.structs.asdict(line) if isinstance(line, msgspec.Struct) else dict(line)
    ordered = sorted(fields.items(), key=lambda field: _FIRST.index(field[0]) if field[0] in _FIRST else len(_FIRST))
    encoded = b""
    for length in _FIELD_LENGTHS:
        limits = {"exception": _TRACEBACK_TIMES * length}
        encoded = _to_ascii_json(
            {
                _redact_and_cut(str(name), 100): _to_bounded_json(value, limits.get(name, length))
                for name, value in ordered[:_MOST_ENTRIES]
            }
        )
        if len(encoded) <= _LINE_BYTES:
            break
    return encoded


def _to_ascii_json(value: Any) -> bytes:
    # Escapes everything but ASCII, and with it C1 and bidi controls, line separators and lone surrogates.
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _to_bounded_json(value: Any, length: int, depth: int = 0) -> Any:
    """Convert a value to a JSON value in which each text is redacted and at most `length` characters long."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, dict) and depth < _DEEPEST:
        entries = [(_to_text(key), entry) for key, entry in list(value.items())[:_MOST_ENTRIES]]
        return {_redact_and_cut(key, 100): _to_bounded_json(entry, length // 4, depth + 1) for key, entry in entries}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [_to_bounded_json(entry, length // 4, depth + 1) for entry in list(value)[:_MOST_ENTRIES]]
    return _redact_and_cut(_to_text(value), length)


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    try:
        return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    except Exception:  # noqa: BLE001 - the line is written whatever the object does
        return f"<{type(value).__name__}>"


def _redact_and_cut(text: str, length: int) -> str:
    # Redact before the last cut, because the cut could leave half a token. The first cut only limits the work.
    return _cut(redact(text[: 4 * length]), length, len(text))


def _cut(text: str, length: int, whole: int) -> str:
    return text if len(text) <= length else f"{text[:length]}... ({whole} characters)"


def redact(text: str) -> str:
    """Replace everything that looks like a token, percent-encoded or not.

    >>> redact("/v1/tokens/mrg%255Fsecretsecret/revoke")
    '/v1/tokens/mrg_[redacted]/revoke'
    """
    decoded = text
    for _ in range(_ROUNDS):
        if not _ENCODED.search(decoded):
            break
        decoded = unquote(decoded)
    # A text without a token is not changed.
    return _TOKEN.sub("mrg_[redacted]", decoded) if _TOKEN.search(decoded) else text


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a wrong format string must not make logging print all of it unredacted
        return f"{_to_text(record.msg)} {_to_text(record.args)}"


def log_security_event(event: str, **fields: Any) -> None:
    """Write a line of the security log: a refusal and its caller, or a token that was issued or revoked.

    These lines are always written, even with `--quiet`. `fields` must not contain a token, only its id.
    """
    known = {name: value for name, value in fields.items() if value is not None}
    _security.info("%s", event, extra=known)


_security: Final = logging.getLogger("registry_server.security")


def configure() -> None:
    """Send the logs of the server, of uvicorn and of the event loop to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(lambda record: _message(record) not in _REDUNDANT_MESSAGES)
    for name in ("registry_server", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if name == "registry_server" else logging.WARNING)
