"""One process, one event loop, one socket: uvicorn around the application."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn

from registry_server.app import create_app
from registry_server.settings import Settings

_GRACE_S = 10
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class StartFailed(RuntimeError):
    """The server could not start; its log, or the message, says why."""


def server(settings: Settings) -> uvicorn.Server:
    """The server of these settings, to be `run()`.

    Raises:
        StartFailed: it would listen beyond this machine, where tokens would travel in the clear.
    """
    if settings.host not in _LOOPBACK:
        raise StartFailed(
            f"{settings.host} is not a loopback address, and without TLS the server binds loopback only: "
            "put a reverse proxy that speaks TLS before it"
        )
    return uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[str]:
    """A server in a thread of this process, for as long as the block lasts; yields its address.

    Port 0 takes a free one.

    Raises:
        StartFailed: it could not start.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.create_server((settings.host, settings.port), family=family) as listening:
        running_server = server(settings)
        started = threading.Event()
        thread = threading.Thread(target=_run, args=(running_server, listening, started), name="registry-server")
        thread.start()
        try:
            started.wait()
            if not running_server.started:
                raise StartFailed("the server could not start; its log says why")
            yield f"http://{settings.host}:{listening.getsockname()[1]}"
        finally:
            running_server.should_exit = True
            thread.join()


def _run(running_server: uvicorn.Server, listening: socket.socket, started: threading.Event) -> None:
    announced = running_server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await announced(sockets=sockets)
        started.set()

    running_server.startup = startup  # type: ignore[method-assign]
    try:
        running_server.run(sockets=[listening])
    finally:
        started.set()
