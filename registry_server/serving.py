"""One process, one event loop, one socket: uvicorn around the application."""

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
from registry_server.infrastructure.schema import SchemaMismatch
from registry_server.invariants.findings import InvariantBroken
from registry_server.settings import Settings

_GRACE_S = 10
# Work that goes on without its client has so much longer; then uvicorn cancels it, with a traceback for each.
_LAST_S = 1
_BACKLOG = 2048
_LOOK_EVERY = 5  # ticks of uvicorn, of 0.1 s each
_MOST_BYTES = 16 * 1024
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
# What these say is for people already; of any other failure to start the log tells all.
_SPEAKING = (
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
    """The server could not start; the message says why."""


class Announcement(msgspec.Struct, frozen=True):
    """What `server.json` in a data folder says of the server that owns it, for as long as it serves."""

    url: str
    pid: int

    def write(self, data: Path) -> None:
        """Appear whole, readable by the owner only."""
        replace_own(data / "server.json", msgspec.json.encode(self))

    @classmethod
    def read(cls, data: Path) -> "Announcement | None":
        """Return the announcement of a process that lives; one that was killed leaves an old one behind.

        Raises:
            UnsafeFile: others can exchange the file, or it names an address beyond this machine.
        """
        file = data / "server.json"
        try:
            found = msgspec.json.decode(read_own(file, most_bytes=_MOST_BYTES), type=cls)
            os.kill(found.pid, 0)
        except UnsafeFile:
            raise
        except (OSError, msgspec.MsgspecError, OverflowError):
            # Not there, not ours to read, or left behind by a process that is gone or is somebody else's.
            return None
        if not _is_loopback(found.url):
            # The admin's token would be sent there.
            raise UnsafeFile(
                file, "names an address that is not on this machine", "remove it and start the server again"
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
    """uvicorn around the application; it announces itself once it serves, before anybody is told that it started."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app = create_app(settings)
        self._application = _Application(self._app)
        self._looking: asyncio.Task[None] | None = None
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
                # Nothing here speaks WebSocket, and a connection that did would be none that is looked at.
                ws="none",
                # Nothing here asks who the client is or which scheme it used, and each request would pay for the look.
                proxy_headers=False,
                timeout_keep_alive=settings.keep_alive_s,
                timeout_graceful_shutdown=_GRACE_S + _LAST_S,
            )
        )

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop.

        Raises:
            StartFailed: it could not start.
        """
        with contextlib.ExitStack() as stack:
            listening = sockets or [stack.enter_context(_listening(self._settings))]
            host, port = listening[0].getsockname()[:2]
            self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            try:
                super().run(listening)
            except SystemExit:
                failure = self._application.failure
                speaking = isinstance(failure, _SPEAKING)
                raise StartFailed(f"{failure}" if speaking else f"{type(failure).__name__}: {failure}") from failure

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, then say where."""
        await super().startup(sockets)
        if self.should_exit:
            return
        try:
            Announcement(self.url, os.getpid()).write(self._settings.data)
        except OSError:
            # A full disk must not keep anybody from reading; tools on this machine then need --url.
            _log.warning("server.json could not be written", exc_info=True)
        self.on_start()

    async def on_tick(self, counter: int) -> bool:
        """Do what uvicorn does ten times a second, and now and then look at all connections."""
        if counter % _LOOK_EVERY == 0:
            now = time.monotonic()
            enforce_all(self.server_state.connections, now)
            self._look_at_callers(now)
        return await super().on_tick(counter)

    def _look_at_callers(self, now: float) -> None:
        if self._looking is not None and not self._looking.done():
            return
        long: list[Any] = [one for one in tuple(self.server_state.connections) if one.is_long_running(now)]  # type: ignore[union-attr]
        if long:
            self._looking = asyncio.create_task(end_revoked_requests(long, self._app.state.authenticator))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take the announcement back while the folder is still ours, then stop serving."""
        (self._settings.data / "server.json").unlink(missing_ok=True)
        ending = asyncio.get_running_loop().call_later(_GRACE_S, self._cut_off)
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    def _cut_off(self) -> None:
        # A client that does not take its answer would otherwise end in the log as a failure of ours.
        for connection in tuple(self.server_state.connections):
            cast("LimitedHttpProtocol", connection).abort_at_shutdown()


def server(settings: Settings) -> RegistryServer:
    """The server of these settings, to be `run()`.

    Raises:
        StartFailed: it would listen beyond this machine, where tokens would travel in the clear.
    """
    if settings.host not in _LOOPBACK:
        raise StartFailed(
            f"{settings.host} is not a loopback address, and without TLS the server binds loopback only: "
            "put a reverse proxy that speaks TLS before it"
        )
    return RegistryServer(settings)


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[str]:
    """A server in a thread of this process, for as long as the block lasts; yields its address.

    Port 0 takes a free one.

    Raises:
        StartFailed: it could not start.
    """
    served = server(settings)
    decided = threading.Event()
    served.on_start = decided.set
    with ThreadPoolExecutor(1, thread_name_prefix="registry-server") as thread:
        end = thread.submit(served.run)
        end.add_done_callback(lambda _: decided.set())
        try:
            decided.wait()
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
    # uvicorn wants a class, and does no more with it than to call it.
    return cast("type[LimitedHttpProtocol]", partial(LimitedHttpProtocol, limits))


def _allowed_hosts(settings: Settings) -> AllowedHosts:
    bound = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        return AllowedHosts((bound, *settings.allowed_hosts))
    except ValueError as error:
        raise StartFailed(f"{error}: give a name such as registry.example by --allowed-host") from None


class _Application:
    """The application; what keeps it from starting is kept as a value, and told by whoever started it."""

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        self._app = app
        self.failure: BaseException | None = None

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        # Not `async`: a request passes without another frame.
        return self._live(scope, receive, send) if scope["type"] == "lifespan" else self._app(scope, receive, send)

    async def _live(self, scope: Any, receive: Any, send: Any) -> None:
        async def plain(message: dict[str, Any]) -> None:
            # Without Litestar's formatted traceback, which the log would show as the message.
            await send({"type": message["type"]})

        try:
            await self._app(scope, receive, plain)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told below or by `run`
            # Litestar puts what went wrong into a group of one.
            while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
                (error,) = error.exceptions
            self.failure = error
            if not isinstance(error, _SPEAKING):
                _log.error("the application failed to start or to stop", exc_info=error)


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    # The protocol is named because asyncio sets TCP_NODELAY only on sockets that say they are TCP.
    with socket.socket(family, kind, protocol) as listening:
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError as error:
            raise StartFailed(
                f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): "
                "if the server is running already, use that one; otherwise choose another port by --port"
            ) from None
        yield listening
