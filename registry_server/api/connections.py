"""Enforces limits of one connection: the size of a request's head, and the time for each request and response.

A request that is refused here never reaches the application. The client receives a problem, as for any other refusal.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from registry_server.api import problems, request_head
from registry_server.api.allowed_hosts import ORIGIN_FORM
from registry_server.api.connection_limits import MOST_QUEUED, MOST_REFUSED, Limits
from registry_server.api.response_progress import ResponseProgress
from registry_server.api.telemetry import format_peer, log_fields
from registry_server.domain import errors
from registry_server.logs import log_security_event

# How long a refused connection stays open, so that the client can read the refusal.
_LINGER_S = 2.0
_MAX_HEADERS = 100
# After this time, the server checks again whether the caller may make a running request: the right may be revoked.
_LONG_S = 1.0
# SO_LINGER with a time of 0: close at once and discard the bytes that the client has not taken.
_RESET = struct.pack("ii", 1, 0)
# What the server expects next from the client. Not an Enum: its attribute look-ups would double the cost on this path.
_HEAD, _BODY, _NOTHING = "head", "body", "nothing"


class LimitedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits for clients that send too much, too slowly or nothing.

    A timer for each request or packet would cost more than everything else here. Therefore the hot path only counts
    bytes. The server calls `enforce_timeouts` on all connections twice a second, and only that method reads the clock.
    """

    # Slots, because more entries in the instance dictionary would slow down each access to uvicorn's attributes.
    __slots__ = (
        "_boundary_piece",
        "_closing",
        "_expected",
        "_expected_since",
        "_hosts",
        "_limits",
        "_max_head",
        "_parsed",
        "_piece",
        "_progress",
        "_received",
        "_received_at_progress",
        "_refusal",
        "_timed_cycle",
        "_timed_since",
        "running",
    )

    def __init__(self, limits: Limits, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._max_head = limits.head_bytes
        self._expected = _HEAD
        self._expected_since: float | None = None  # when the wait began, or when the client last made progress
        self._refusal: errors.RegistryError = errors.MalformedRequest()
        self._hosts: list[bytes] | None = None  # the Host headers that were checked last
        self._closing = False
        self.running: Any = None  # the request at work; uvicorn's `cycle` is the newest one, which may be queued
        self._timed_cycle: Any = None
        self._timed_since = 0.0
        # Byte counts: received; parsed completely; received when the client last made progress.
        self._received = self._parsed = self._received_at_progress = 0
        # Byte counts: the current piece; the piece with the end of the last request and perhaps the next head.
        self._piece = self._boundary_piece = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection unless there are too many; uvicorn would count it only after its first request."""
        super().connection_made(transport)
        self._progress = ResponseProgress(transport)
        count = len(self.connections)
        if count > self._limits.connections + MOST_REFUSED:
            self._abort("too_many_connections")
        elif count > self._limits.connections:
            self._refuse_and_close(errors.TooManyConnections())

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the running request: uvicorn notifies only the newest one, which may still be queued."""
        if self.running is not None and not self.running.response_complete:
            self.running.disconnected = True
            self.running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count and parse the bytes; refuse a head, trailers or chunk marks that are too long."""
        if self._closing:
            return
        self._piece = piece = len(data)
        self._received += piece
        if self._expected is _NOTHING:
            self._expected, self._expected_since = _HEAD, None
        super().data_received(data)
        if self._received - self._parsed > self._max_head and not self._closing:
            self._refuse_and_close(errors.HeadTooLarge(_MAX_HEADERS))

    def on_headers_complete(self) -> None:
        """Check the head, then start the request. The exact size is computed only if the head could be too large."""
        head_bytes = self._received - self._parsed + self._boundary_piece
        if head_bytes > self._max_head:
            head_bytes = request_head.count_bytes(self.url, self.headers)
        if head_bytes > self._max_head or len(self.headers) > _MAX_HEADERS:
            self._refusal = errors.HeadTooLarge(_MAX_HEADERS)
            raise ValueError  # the only way to stop the parser; uvicorn then calls `send_400_response`
        self._check_host()
        upgrade = self.parser.should_upgrade()
        # The parser would treat the body of an upgrade as another protocol, and then as the next request.
        if len(self.pipeline) >= MOST_QUEUED or (upgrade and request_head.announces_body(self.headers)):
            raise ValueError
        self._expected, self._expected_since, self._parsed = _BODY, None, self._received
        super().on_headers_complete()
        # Trailers would be appended to the headers, which have been checked already.
        self.headers = []
        if upgrade:
            # The response ignores the upgrade and is the last one: later bytes may belong to the other protocol.
            self._closing, self.cycle.keep_alive = True, False

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.running = cycle
        # A response that has begun cannot be turned into an error: only its connection can be closed.
        cycle.scope["registry_abort"] = self.transport.abort
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """Count the bytes that wait for a client that reads more slowly than the server writes."""
        self._progress.note()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Count the bytes that the client has received meanwhile."""
        self._progress.note()
        super().resume_writing()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: the response ignores the upgrade, and uvicorn's advice does not apply."""

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
        """Pass a piece of the body to the application, unless its response has begun."""
        self._parsed = self._received
        cycle: Any = self.cycle
        if cycle.response_started:
            return
        if not cycle.body:
            if request_head.has_other_coding(cycle.scope["headers"]):
                raise ValueError
            # uvicorn would copy the piece twice, and pause and resume reading for each piece of a large body.
            cycle.body = body
            cycle.message_event.set()
            return
        # The application has not taken the previous piece: join both, and let uvicorn pause reading if they are large.
        if isinstance(cycle.body, bytes):
            cycle.body = bytearray(cycle.body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Record that the client has sent the whole request."""
        self._expected, self._parsed, self._boundary_piece = _NOTHING, self._received, self._piece
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Resume reading only if the queue of requests is empty."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the registry has its own message
        """Refuse the request that the parser could not parse."""
        self._refuse_and_close(self._refusal)

    def enforce_timeouts(self, now: float) -> None:
        """Close the connection if its client is too slow; a client that is waiting for the server is not too slow."""
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
        """Return whether the current request has been running long enough for a new check of its caller's rights."""
        cycle = self.running
        at_work = cycle is not None and cycle is self._timed_cycle and not cycle.response_complete
        return at_work and now - self._timed_since >= _LONG_S

    def revoke(self, cycle: Any, refusal: errors.RegistryError) -> None:
        """End a request whose caller has lost the right to make it, unless all its bytes were already transferred."""
        if cycle is not self.running or cycle.response_complete or self.transport.is_closing():
            return
        if cycle.response_started or cycle is not self.cycle:
            self._abort("transfer_revoked", **log_fields(cycle.scope))
        elif self._expected is _BODY and not self._closing:
            self._refuse_and_close(refusal, **log_fields(cycle.scope))

    def abort_at_shutdown(self) -> None:
        """Close at once: the server stops, and the time for running requests is over."""
        self._abort("cut_off")

    def _is_waiting_for_server(self) -> bool:
        cycle = self.cycle
        # The rest of a refused body gets the time limit once, whatever its rate.
        return not cycle.response_complete and (cycle.waiting_for_100_continue or cycle.response_started)

    def _is_progressing(self, within_s: float) -> bool:
        least = max(1.0, self._limits.body_bytes_per_s * within_s)
        return not self.cycle.response_complete and self._received - self._received_at_progress >= least

    def _expire(self) -> None:
        has_response = self._expected is _BODY and self.cycle.response_complete
        if has_response or not self._received:
            # The client would take a superfluous response for the response to its next request.
            self._closing = True
            self.transport.abort()
        else:
            self._refuse_and_close(errors.RequestTimedOut())

    def _abort(self, event: str, **fields: Any) -> None:
        """Close the connection at once, without a response, and log the event."""
        self._closing = True
        if self.transport.is_closing() and not self.transport.get_write_buffer_size():
            return
        log_security_event(event, **({"peer": format_peer(self.client)} | fields))
        with contextlib.suppress(OSError):
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _refuse_and_close(self, refusal: errors.RegistryError, **fields: Any) -> None:
        """Stop reading and send the refusal; if responses are outstanding, send those instead and then close."""
        self._closing = True
        cycle: Any = self.cycle  # None before the first request, although uvicorn's types exclude it
        if cycle is not None and not cycle.response_complete:
            if self._expected is not _BODY:
                cycle.keep_alive = False
                return
            if cycle.response_started or self.pipeline:
                self._abort(refusal.code, **fields)
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self._send_refusal(refusal, fields)

    def _send_refusal(self, refusal: errors.RegistryError, fields: dict[str, Any]) -> None:
        request_id = fields.pop("request_id", None) or os.urandom(16).hex()
        response = problems.answer(refusal, request_id)
        status, body = response.status_code or 0, response.content
        headers = [
            *self.server_state.default_headers,
            *problems.raw_headers(response),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
        ]
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        fields |= {"request_id": request_id, "status": status, "code": refusal.code, "detail": refusal.detail}
        log_security_event("refused", **({"peer": format_peer(self.client)} | fields))
        # If the socket were closed while bytes arrive, the client would see a reset connection instead of the refusal.
        # A client that does not read, or has disconnected, gets no end of stream.
        if not self.transport.get_write_buffer_size():
            with contextlib.suppress(OSError):
                self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(_LINGER_S, self.transport.abort)


def enforce_all(connections: Iterable[Any], now: float) -> None:
    """Enforce the timeouts of all connections."""
    for connection in tuple(connections):
        connection.enforce_timeouts(now)
