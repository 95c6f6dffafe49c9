"""Serves the application with uvicorn: one process, one event loop, one socket."""

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
import uvicorn

from common_lib.own_files import UnsafeFile, read_own, replace_own
from registry_server.api.allowed_hosts import AllowedHosts
from registry_server.api.connection_limits import Limits
from registry_server.api.connections import LimitedHttpProtocol, enforce_all
from registry_server.api.revocation import end_revoked_requests
from registry_server.app import FolderInUse, create_app
from registry_server.domain.errors import RegistryError
from registry_server.infrastructure.database_url import InvalidDatabaseUrl
from registry_server.infrastructure.inspection import DatabaseUnreadable
from registry_server.infrastructure.schema_history import SchemaMismatch
from registry_server.invariants.findings import InvariantBroken
from registry_server.settings import Settings

_GRACE_S = 10
# Requests without a client may run for this additional time; then uvicorn cancels them, with a traceback for each.
_LAST_S = 1
_BACKLOG = 2048
_ENFORCE_EVERY = 5  # ticks of uvicorn, of 0.1 s each
_MOST_BYTES = 16 * 1024
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
# The messages of these errors are written for operators; any other error is logged with its traceback.
_CLEAR_ERRORS = (
    FolderInUse,
    InvariantBroken,
    SchemaMismatch,
    DatabaseUnreadable,
    InvalidDatabaseUrl,
    RegistryError,
    OSError,
)
_log = logging.getLogger(__name__)


class StartFailed(RuntimeError):
    """The error if the server could not start; the message contains the reason."""


class Announcement(msgspec.Struct, frozen=True):
    """The content of `server.json`: process and address of the server that serves a data folder at present."""

    url: str
    pid: int

    def write(self, data: Path) -> None:
        """Write the file atomically, readable by the owner only."""
        replace_own(data / "server.json", msgspec.json.encode(self))

    @classmethod
    def read(cls, data: Path) -> "Announcement | None":
        """Return the announcement in a data folder if its process is running, otherwise None.

        A process that was killed leaves a stale file.

        Raises:
            UnsafeFile: other users can replace the file, or it contains an address on another machine.
        """
        file = data / "server.json"
        try:
            found = msgspec.json.decode(read_own(file, most_bytes=_MOST_BYTES), type=cls)
            os.kill(found.pid, 0)
        except UnsafeFile:
            raise
        except (OSError, msgspec.MsgspecError, OverflowError):
            # The file is absent, not readable, or stale: its process has ended, or belongs to another user.
            return None
        if not _is_loopback(found.url):
            # The admin's token would be sent to that address.
            raise UnsafeFile(
                file, "contains an address that is not on this machine", "remove it and start the server again"
            )
        return found


def _is_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname in _LOOPBACK and port is not None and "@" not in parts.netloc


class RegistryServer(uvicorn.Server):
    """The uvicorn server with the application.

    When it accepts requests, it writes its address to `server.json` and then calls `on_start`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app = create_app(settings)
        self._application = _Application(self._app)
        self._revocation_check: asyncio.Task[None] | None = None
        self.on_start: Callable[[], None] = lambda: None
        self.url = ""
        super().__init__(
            uvicorn.Config(
                self._application,
                interface="asgi3",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                http=_protocol(settings),
                # There are no WebSocket routes, and such a connection would escape `enforce_timeouts`.
                ws="none",
                # Neither the client's address nor its scheme matters here, and the look-up would take time.
                proxy_headers=False,
                timeout_keep_alive=settings.keep_alive_s,
                timeout_graceful_shutdown=_GRACE_S + _LAST_S,
            )
        )

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal stops the server.

        Raises:
            StartFailed: the server could not start.
        """
        with contextlib.ExitStack() as stack:
            listening = sockets or [stack.enter_context(_listening(self._settings))]
            host, port = listening[0].getsockname()[:2]
            self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            try:
                super().run(listening)
            except SystemExit:
                failure = self._application.failure
                is_clear = isinstance(failure, _CLEAR_ERRORS)
                raise StartFailed(f"{failure}" if is_clear else f"{type(failure).__name__}: {failure}") from failure

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, then write the announcement to `server.json`."""
        await super().startup(sockets)
        if self.should_exit:
            return
        try:
            Announcement(self.url, os.getpid()).write(self._settings.data)
        except OSError:
            # With a full disk the server still serves reads; tools on this machine then need --url.
            _log.warning("server.json could not be written", exc_info=True)
        self.on_start()

    async def on_tick(self, counter: int) -> bool:
        """Do uvicorn's regular work, ten times a second.

        On every fifth call, enforce the timeouts of all connections.
        """
        if counter % _ENFORCE_EVERY == 0:
            now = time.monotonic()
            enforce_all(self.server_state.connections, now)
            self._check_long_requests(now)
        return await super().on_tick(counter)

    def _check_long_requests(self, now: float) -> None:
        if self._revocation_check is not None and not self._revocation_check.done():
            return
        long: list[Any] = [one for one in tuple(self.server_state.connections) if one.is_long_running(now)]  # type: ignore[union-attr]
        if long:
            self._revocation_check = asyncio.create_task(end_revoked_requests(long, self._app.state.authenticator))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Remove the announcement first, because this process still owns the folder, then stop serving."""
        (self._settings.data / "server.json").unlink(missing_ok=True)
        ending = asyncio.get_running_loop().call_later(_GRACE_S, self._abort_connections)
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    def _abort_connections(self) -> None:
        # A client that does not read its response would otherwise appear in the log as an error of the server.
        for connection in tuple(self.server_state.connections):
            cast("LimitedHttpProtocol", connection).abort_at_shutdown()


def create_server(settings: Settings) -> RegistryServer:
    """Create a server with these settings; `run()` starts it.

    Raises:
        StartFailed: the host is not a loopback address, so tokens would be sent over the network in clear text.
    """
    if settings.host not in _LOOPBACK:
        raise StartFailed(
            f"{settings.host} is not a loopback address, and without TLS the server binds loopback only: "
            "put a reverse proxy that speaks TLS before it"
        )
    return RegistryServer(settings)


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[str]:
    """Run a server in a thread of this process until the block ends; yield the address of the server.

    Port 0 selects a free port.

    Raises:
        StartFailed: the server could not start.
    """
    served = create_server(settings)
    started_or_failed = threading.Event()
    served.on_start = started_or_failed.set
    with ThreadPoolExecutor(1, thread_name_prefix="registry-server") as thread:
        end = thread.submit(served.run)
        end.add_done_callback(lambda _: started_or_failed.set())
        try:
            started_or_failed.wait()
            if end.done():
                end.result()
            yield served.url
        finally:
            served.should_exit = True


def _protocol(settings: Settings) -> type[LimitedHttpProtocol]:
    limits = Limits(
        head_bytes=settings.max_head_bytes,
        head_s=settings.head_timeout_s,
        body_s=settings.body_timeout_s,
        body_bytes_per_s=settings.min_body_bytes_per_s,
        answer_s=settings.answer_timeout_s,
        answer_bytes_per_s=settings.min_answer_bytes_per_s,
        connections=settings.max_connections,
        allowed_hosts=_allowed_hosts(settings),
    )
    # uvicorn expects a class here, but only calls it, so a function suffices.
    return cast("type[LimitedHttpProtocol]", partial(LimitedHttpProtocol, limits))


def _allowed_hosts(settings: Settings) -> AllowedHosts:
    bound = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        return AllowedHosts((bound, *settings.allowed_hosts))
    except ValueError as error:
        raise StartFailed(f"{error}: give a name such as registry.example with --allowed-host") from None


class _Application:
    """The application. It stores the error that prevented its start, and `run` raises this error."""

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        self._app = app
        self.failure: BaseException | None = None

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        # Not `async`, because that would add one more frame to each request.
        run = self._run_lifespan if scope["type"] == "lifespan" else self._app
        return run(scope, receive, send)

    async def _run_lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        async def plain(message: dict[str, Any]) -> None:
            # Without Litestar's formatted traceback, which uvicorn would log as the message.
            await send({"type": message["type"]})

        try:
            await self._app(scope, receive, plain)
        except Exception as error:  # noqa: BLE001 - every error is logged below or raised by `run`
            # Litestar wraps the error in a group of one.
            while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
                (error,) = error.exceptions
            self.failure = error
            if not isinstance(error, _CLEAR_ERRORS):
                _log.error("the application failed to start or to stop", exc_info=error)


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    # The protocol is passed because asyncio sets TCP_NODELAY only on sockets whose protocol is TCP.
    with socket.socket(family, kind, protocol) as listening:
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError as error:
            raise StartFailed(
                f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): "
                "if the server is running already, use that server; otherwise choose another port with --port"
            ) from None
        yield listening
