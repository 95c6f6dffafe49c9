"""What one connection may ask of the server: heads of bounded size, requests in bounded time.

What is refused here never reaches the application, and is told as a problem like everything else.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from registry_server.api import problems
from registry_server.api.allowed_hosts import ORIGIN_FORM, AllowedHosts
from registry_server.api.refusals import MOST_HEADERS, REFUSALS
from registry_server.api.response_progress import ResponseProgress
from registry_server.api.telemetry import format_peer, log_fields
from registry_server.domain.errors import RegistryError
from registry_server.logs import log_security_event

_LINGER_S = 2.0
# A request that is at work for so long is looked at again now and then: its caller may have lost the right to it.
_LONG_S = 1.0
# To close at once and throw away what the kernel holds for a client that does not take it.
_RESET = struct.pack("ii", 1, 0)
# So many requests of one connection may wait for the answers to those before them.
_MOST_QUEUED = 100
# So many are still told that there are too many; whoever comes after them is cut off.
_MOST_REFUSED = 100
# What the client owes us. Not an Enum: each look at a member of one would cost the hot path as much as the rest.
_HEAD, _BODY, _NOTHING = "head", "body", "nothing"


_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Limits(NamedTuple):
    """Bounds of a connection, and of their number; rates are averages over the time beside them."""

    head_bytes: int
    head_s: float
    body_s: float
    body_bytes_per_s: float
    answer_s: float
    answer_bytes_per_s: float
    connections: int
    allowed_hosts: AllowedHosts


class LimitedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, for clients that send too much, too slowly or nothing.

    A timer for each request or packet would cost more than all the rest of this. So the hot path only counts, and
    `enforce_timeouts`, called for all connections twice a second, is the one that knows the time.
    """

    # With so many more attributes in its dictionary, each access to any of uvicorn's would be slower, too.
    __slots__ = (
        "_awaited",
        "_ended",
        "_fault",
        "_hosts",
        "_limits",
        "_mark",
        "_most",
        "_outflow",
        "_piece",
        "_received",
        "_shared",
        "_since",
        "_taken",
        "_watched",
        "_watched_since",
        "running",
    )

    def __init__(self, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._max_head = limits.head_bytes
        self._expected = _HEAD
        self._expected_since: float | None = None  # when the wait began, or the last time there was progress
        self._refusal = REFUSALS["malformed_request"]
        self._hosts: list[bytes] | None = None  # the Host headers that were checked last
        self._closing = False
        self.running: Any = None  # the cycle at work; `cycle` is that of the newest request, which may wait for it
        self._timed_cycle: Any = None
        self._timed_since = 0.0
        # In bytes: all that came, as much of it as the parser took in whole, and what had come at the last progress.
        self._received = self._parsed = self._received_at_progress = 0
        # In bytes: the piece at hand, and the piece in which the last request ended and the next may have begun.
        self._piece = self._boundary_piece = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, unless there are too many: uvicorn would count them only once a request is whole."""
        super().connection_made(transport)
        self._progress = ResponseProgress(transport)
        count = len(self.connections)
        if count > self._limits.connections + _MOST_REFUSED:
            self._abort("too_many_connections")
        elif count > self._limits.connections:
            self._refuse_and_close(REFUSALS["too_many_connections"])

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the request at work as well: uvicorn notifies only the newest, which may still wait for it."""
        if self.running is not None and not self.running.response_complete:
            self.running.disconnected = True
            self.running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count, parse, and stop where a head, the trailers or the marks between chunks do not end."""
        if self._closing:
            return
        self._piece = piece = len(data)
        self._received += piece
        if self._expected is _NOTHING:
            self._expected, self._expected_since = _HEAD, None
        super().data_received(data)
        if self._received - self._parsed > self._max_head and not self._closing:
            self._refuse_and_close(REFUSALS["head_too_large"])

    def on_headers_complete(self) -> None:
        """Measure the head, but only if it came in so many bytes that it could be too large."""
        is_large = (
            self._received - self._parsed + self._boundary_piece > self._max_head
            and self._head_bytes() > self._max_head
        )
        if is_large or len(self.headers) > MOST_HEADERS:
            self._refusal = REFUSALS["head_too_large"]
            raise ValueError  # the only way to stop the parser; uvicorn then calls `send_400_response`
        self._check_host()
        upgrade = self.parser.should_upgrade()
        # The parser would take the body of an upgrade for another protocol's, and then for the next request.
        if len(self.pipeline) >= _MOST_QUEUED or (upgrade and self._announces_body()):
            raise ValueError
        self._expected, self._expected_since, self._parsed = _BODY, None, self._received
        super().on_headers_complete()
        # Trailers would end up among the headers, after these were checked.
        self.headers = []
        if upgrade:
            # Answered as if it asked for none, and the last one: what comes behind it is not heard.
            self._closing, self.cycle.keep_alive = True, False

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.running = cycle
        # An answer that has begun and is given up cannot be ended well: only its connection can be closed.
        cycle.scope["registry_abort"] = self.transport.abort
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """Note how much waits for a client that reads more slowly than we write."""
        self._progress.note()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note how much of it was taken."""
        self._progress.note()
        super().resume_writing()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: the request is answered as if it asked for no upgrade, and uvicorn's advice does not fit."""

    def _check_host(self) -> None:
        hosts = [value for name, value in self.headers if name == b"host"]
        plain = ORIGIN_FORM(self.url) and self.parser.get_http_version() == "1.1"
        # A client sends the same Host each time.
        if plain and hosts == self._hosts:
            return
        refusal = self._limits.allowed_hosts.find_refusal(self.parser.get_http_version(), self.url, hosts)
        if refusal is not None:
            self._refusal = refusal
            raise ValueError  # see `on_headers_complete`
        self._hosts = hosts

    def on_body(self, body: bytes) -> None:
        """Nobody reads a body once its answer has begun."""
        self._parsed = self._received
        cycle: Any = self.cycle
        if cycle.response_started:
            return
        if not cycle.body:
            if _has_other_coding(cycle.scope["headers"]):
                raise ValueError
            # uvicorn would copy it twice, and stop reading and begin again for each piece of a large body.
            cycle.body = body
            cycle.message_event.set()
            return
        # The piece before has not been taken yet: gathered with this one, and perhaps no more is read until it is.
        if isinstance(cycle.body, bytes):
            cycle.body = bytearray(cycle.body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The client has done its part."""
        self._expected, self._parsed, self._boundary_piece = _NOTHING, self._received, self._piece
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Read on only if no other request waits for its answer."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are not ours
        """The parser stopped."""
        self._refuse_and_close(self._refusal)

    def enforce_timeouts(self, now: float) -> None:
        """End a connection whose client keeps us waiting; one that waits for us is not to blame."""
        if self.running is not self._timed_cycle:
            self._timed_cycle, self._timed_since = self.running, now
        if self._progress.is_stalled(now, self._limits.answer_s, self._limits.answer_bytes_per_s):
            self._abort("answer_not_taken")
        if self._closing or self._expected is _NOTHING:
            return
        in_body = self._expected is _BODY
        if self._expected_since is None or self.flow.read_paused or (in_body and self._is_waiting_for_server()):
            self._expected_since, self._received_at_progress = now, self._received
        elif now - self._expected_since >= (self._limits.body_s if in_body else self._limits.head_s):
            if in_body and self._is_progressing(now - self._expected_since):
                self._expected_since, self._received_at_progress = now, self._received
            else:
                self._expire()

    def is_long_running(self, now: float) -> bool:
        """Return whether one request has been at work for long."""
        cycle = self.running
        at_work = cycle is not None and cycle is self._timed_cycle and not cycle.response_complete
        return at_work and now - self._timed_since >= _LONG_S

    def revoke(self, cycle: Any, refusal: RegistryError) -> None:
        """End a request whose caller has lost the right to it, unless it is over or needs no more of the client."""
        if cycle is not self.running or cycle.response_complete or self.transport.is_closing():
            return
        if cycle.response_started or cycle is not self.cycle:
            self._abort("transfer_revoked", **log_fields(cycle.scope))
        elif self._expected is _BODY and not self._closing:
            self._refuse_and_close(refusal, **log_fields(cycle.scope))

    def abort_at_shutdown(self) -> None:
        """Close at once: the server stops, and the time for requests at work is over."""
        self._abort("cut_off")

    def _is_waiting_for_server(self) -> bool:
        cycle = self.cycle
        # What is left of a refused body gets its time once, however fast it comes.
        return not cycle.response_complete and (cycle.waiting_for_100_continue or cycle.response_started)

    def _is_progressing(self, within_s: float) -> bool:
        least = max(1.0, self._limits.body_bytes_per_s * within_s)
        return not self.cycle.response_complete and self._received - self._received_at_progress >= least

    def _expire(self) -> None:
        answered = self._expected is _BODY and self.cycle.response_complete
        if answered or not self._received:
            # An answer to nothing, or a second one, would be taken for that to the next request.
            self._closing = True
            self.transport.abort()
        else:
            self._refuse_and_close(REFUSALS["request_timeout"])

    def _abort(self, event: str, **known: Any) -> None:
        """Close at once, without an answer: none could still be sent."""
        self._closing = True
        if self.transport.is_closing() and not self.transport.get_write_buffer_size():
            return
        log_security_event(event, **({"peer": format_peer(self.client)} | known))
        with contextlib.suppress(OSError):
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _announces_body(self) -> bool:
        return any(name in _FRAMING and value.strip() != b"0" for name, value in self.headers)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)

    def _refuse_and_close(self, refusal: RegistryError, **known: Any) -> None:
        """Hear no more, and say why, unless answers are at work: those come first and are the last."""
        self._closing = True
        cycle: Any = self.cycle  # None before the first request, whatever uvicorn's types say
        if cycle is not None and not cycle.response_complete:
            if self._expected is not _BODY:
                cycle.keep_alive = False
                return
            if cycle.response_started or self.pipeline:
                self._abort(refusal.reason_code, **known)
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self._send_refusal(refusal, known)

    def _send_refusal(self, refusal: RegistryError, known: dict[str, Any]) -> None:
        request_id = known.pop("request_id", None) or os.urandom(16).hex()
        answer = problems.answer(refusal, request_id)
        status, body = answer.status_code or 0, answer.content
        headers = [
            *self.server_state.default_headers,
            *problems.raw_headers(answer),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
        ]
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        known |= {"request_id": request_id, "status": status, "code": refusal.reason_code, "detail": refusal.detail}
        log_security_event("refused", **({"peer": format_peer(self.client)} | known))
        # To close while bytes are coming would take the answer back: the client would see a reset connection.
        # A client that is gone, or does not read, is sent no end.
        if not self.transport.get_write_buffer_size():
            with contextlib.suppress(OSError):
                self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(_LINGER_S, self.transport.abort)


def enforce_all(connections: Iterable[Any], now: float) -> None:
    """End the connections of clients that keep us waiting."""
    for connection in tuple(connections):
        connection.enforce_timeouts(now)


def _has_other_coding(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a body is more than chunked: the parser would hand it on as it is coded."""
    return any(name == b"transfer-encoding" and value.strip().lower() != b"chunked" for name, value in headers)
