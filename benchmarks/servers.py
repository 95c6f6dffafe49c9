"""The servers to compare, each in its own process: `python -m benchmarks.servers KIND SOCKET OPTIONS`.

The registry runs exactly as under `registry-server serve`. It is compared with bare Litestar applications under the
same uvicorn, which import as little of the registry as possible, because start time and memory are measured too.
"""

import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn


def registry(*, data: str, database_url: str = "", fsync_s: float = 0.0) -> uvicorn.Server:
    """Return the registry; each fsync of SQLite takes `fsync_s` seconds longer."""
    from registry_server import logs  # noqa: PLC0415 - see above
    from registry_server.serving import create_server  # noqa: PLC0415
    from registry_server.settings import Settings  # noqa: PLC0415

    if fsync_s:
        _slow_disk(fsync_s)
    logs.configure()
    return create_server(Settings(data=Path(data), database_url=database_url, access_log=False))


def fixed_response(*, path: str, status: int, headers: dict[str, str], body: str) -> uvicorn.Server:
    """Return a server whose one handler always sends the given response."""
    from litestar import Litestar, Response, get  # noqa: PLC0415 - see above

    content = body.encode()

    @get(path)
    async def answer() -> Response[bytes | None]:
        return Response(content or None, status_code=status, headers=headers, media_type="application/json")

    return _bare(Litestar([answer], openapi_config=None, logging_config=None))


def discard_body(*, path: str) -> uvicorn.Server:
    """Return a server whose one handler parses the body of `create version` and discards it."""
    from litestar import Litestar, post  # noqa: PLC0415 - see above

    from registry_server.domain.versions import CreateVersion  # noqa: PLC0415

    @post(path)
    async def accept(data: CreateVersion) -> None:
        del data

    return _bare(Litestar([accept], openapi_config=None, logging_config=None))


def live() -> uvicorn.Server:
    """Return a server with one trivial handler."""
    from litestar import Litestar, get  # noqa: PLC0415 - see above

    @get("/health/live")
    async def answer() -> dict[str, str]:
        return {"status": "live"}

    return _bare(Litestar([answer], logging_config=None))


def _bare(app: Any) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(app, lifespan="on", access_log=False, log_config=None, server_header=False))


def _slow_disk(fsync_s: float) -> None:
    import apsw  # noqa: PLC0415 - see above

    def wait() -> bool:
        time.sleep(fsync_s)
        return False  # continue the commit

    # In WAL mode a commit is one fsync, and the hook runs just before it. A VFS in Python could delay the fsync itself,
    # but each of the 34 writes of a commit would then hold the interpreter lock, for which other threads wait.
    apsw.connection_hooks.append(lambda connection: connection.set_commit_hook(wait))


KINDS: dict[str, Callable[..., uvicorn.Server]] = {
    "registry": registry,
    "fixed_response": fixed_response,
    "discard_body": discard_body,
    "live": live,
}

if __name__ == "__main__":
    kind, descriptor, options = sys.argv[1:]
    running = KINDS[kind](**json.loads(options))
    # uvicorn uses uvloop if it is installed; the registry does not depend on it.
    running.config.loop = "asyncio"
    running.run(sockets=[socket.socket(fileno=int(descriptor))])
