"""Enforce the deadline of an attempt at each wait for the network.

httpx limits only each single wait, so an answer of one byte per second would never time out. This module shortens each
wait of httpx to the time that is left for the attempt.
"""

import math
import socket
import ssl
import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import httpcore
import httpx

_deadline: ContextVar[float] = ContextVar("attempt_deadline", default=math.inf)
_HTTP = b"HTTP/"
_MAX_TEXT = 60
_Options = Iterable[httpcore.SOCKET_OPTION]


def set_deadline(deadline: float) -> float:
    """Set the deadline (a time of `time.monotonic`) of this thread or task. Return the deadline that was set before."""
    before = _deadline.get()
    _deadline.set(deadline)
    return before


def cap_deadline(seconds: float) -> None:
    """Set the deadline to `seconds` from now, unless the current deadline is earlier."""
    _deadline.set(min(_deadline.get(), time.monotonic() + seconds))


def install(client: httpx.Client | httpx.AsyncClient) -> None:
    """Make the connections of a client obey the deadline of `set_deadline`."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - httpx has no way to pass it on
        pool = getattr(transport, "_pool", None)
        if isinstance(pool, httpcore.ConnectionPool):
            pool._network_backend = _Network(pool._network_backend, is_http=not _is_socks(pool))  # noqa: SLF001 - the same
        elif isinstance(pool, httpcore.AsyncConnectionPool):
            pool._network_backend = _AsyncNetwork(pool._network_backend, is_http=not _is_socks(pool))  # noqa: SLF001 - the same


def _is_socks(pool: object) -> bool:
    # With SOCKS, the first bytes come from the proxy and are not HTTP.
    return "SOCKS" in type(pool).__name__


def close_sockets(client: httpx.AsyncClient) -> None:
    """Close the sockets of a client directly, because its event loop is closed and cannot close them."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - as in `install`
        pool = getattr(transport, "_pool", None)
        if isinstance(pool, httpcore.AsyncConnectionPool) and isinstance(pool._network_backend, _AsyncNetwork):  # noqa: SLF001 - the same
            for stream in list(pool._network_backend.streams):  # noqa: SLF001 - the same
                _close_socket(stream)


def _close_socket(stream: Any) -> None:
    # The stream of httpcore wraps that of anyio. Below TLS there is one more stream. The innermost one is of asyncio.
    below = stream
    for name in ("_stream", "_stream", "transport_stream", "_transport"):
        below = getattr(below, name, below)
    sock = getattr(below, "_sock", None)
    if isinstance(sock, socket.socket):
        below._sock = None  # noqa: SLF001 - its own way to close it needs the loop
        sock.close()


def close_inherited_sockets(client: httpx.Client) -> None:
    """Close the sockets that this process has inherited from its parent process by a fork.

    This function sends nothing, and takes no lock of the client, because a thread of the parent may hold the lock.
    """
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - the same
        network = getattr(getattr(transport, "_pool", None), "_network_backend", None)
        for stream in list(network.streams) if isinstance(network, _Network) else ():
            stream.close()


def _left_s(timeout: float | None, timed_out: type[httpcore.TimeoutException]) -> float | None:
    deadline = _deadline.get()
    if deadline == math.inf:
        return timeout
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise timed_out("the attempt timed out before the answer was complete")
    return left_s if timeout is None else min(timeout, left_s)


def _check_beginning(data: bytes) -> None:
    # The parser would wait for the complete head, for ever if a server of another protocol sends no more bytes.
    if data and not _HTTP.startswith(data[: len(_HTTP)]):
        raise httpcore.RemoteProtocolError(f"illegal status line: {data[:_MAX_TEXT]!r}")


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, streams: "WeakSet[_Stream]", *, is_http: bool) -> None:
        self._stream = stream
        self._streams = streams
        self._is_http = is_http
        self._unread = is_http

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, _left_s(timeout, httpcore.ReadTimeout))
        if self._unread:
            self._unread = False
            _check_beginning(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left_s(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left_s = _left_s(timeout, httpcore.ConnectTimeout)
        inner = self._stream.start_tls(ssl_context, server_hostname, left_s)
        wrapped = _Stream(inner, self._streams, is_http=self._is_http)
        self._streams.add(wrapped)
        return wrapped

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Network(httpcore.NetworkBackend):
    def __init__(self, network: httpcore.NetworkBackend, *, is_http: bool) -> None:
        self._network = network
        self._is_http = is_http
        self.streams: WeakSet[_Stream] = WeakSet()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options | None = None,
    ) -> httpcore.NetworkStream:
        left_s = _left_s(timeout, httpcore.ConnectTimeout)
        return self._wrap(self._network.connect_tcp(host, port, left_s, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: _Options | None = None
    ) -> httpcore.NetworkStream:
        left_s = _left_s(timeout, httpcore.ConnectTimeout)
        return self._wrap(self._network.connect_unix_socket(path, left_s, socket_options))

    def _wrap(self, stream: httpcore.NetworkStream) -> "_Stream":
        wrapped = _Stream(stream, self.streams, is_http=self._is_http)
        self.streams.add(wrapped)
        return wrapped


class _AsyncStream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, *, is_http: bool) -> None:
        self._stream = stream
        self._is_http = is_http
        self._unread = is_http

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._stream.read(max_bytes, _left_s(timeout, httpcore.ReadTimeout))
        if self._unread:
            self._unread = False
            _check_beginning(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, _left_s(timeout, httpcore.WriteTimeout))

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        left_s = _left_s(timeout, httpcore.ConnectTimeout)
        stream = await self._stream.start_tls(ssl_context, server_hostname, left_s)
        return _AsyncStream(stream, is_http=self._is_http)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _AsyncNetwork(httpcore.AsyncNetworkBackend):
    def __init__(self, network: httpcore.AsyncNetworkBackend, *, is_http: bool) -> None:
        self._network = network
        self._is_http = is_http
        self.streams: WeakSet[_AsyncStream] = WeakSet()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options | None = None,
    ) -> httpcore.AsyncNetworkStream:
        left_s = _left_s(timeout, httpcore.ConnectTimeout)
        inner = await self._network.connect_tcp(host, port, left_s, local_address, socket_options)
        stream = _AsyncStream(inner, is_http=self._is_http)
        self.streams.add(stream)
        return stream

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: _Options | None = None
    ) -> httpcore.AsyncNetworkStream:
        left_s = _left_s(timeout, httpcore.ConnectTimeout)
        stream = await self._network.connect_unix_socket(path, left_s, socket_options)
        return _AsyncStream(stream, is_http=self._is_http)
