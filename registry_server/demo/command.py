"""`registry-server demo`: start a server on loopback, run the scenario, and let users try the running server."""

import io
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from common_lib import RegistryConfig
from common_lib.escapes import escape
from common_lib.own_files import read_own
from registry_server.serving import StartFailed, running
from registry_server.settings import Settings

_WIDTH: Final = 100
_MOST_BYTES: Final = 16 * 1024
_EXTRA: Final = frozenset({"currency_converter", "numpy", "sklearn", "skops"})


class CannotStart(Exception):
    """The error if the demo cannot start; the message contains the cause and a remedy."""


def main(exit_after: bool, data: Path | None, port: int) -> int:  # noqa: FBT001 - only the command line calls it
    """Run the demo; then, unless `exit_after`, serve until Ctrl-C.

    Return the exit status, which is 1 if the demo cannot start.

    The registry's folder is `data`, which must be new or empty, and which is not removed. By default, it is a temporary
    folder that is removed at the end. Port 0 selects any free port.
    """
    screen = _screen()
    try:
        _require_empty(data)
        run = _load_scenario(screen)
        with tempfile.TemporaryDirectory(prefix="registry-demo-") as scratch:
            home = data or Path(scratch) / "registry"
            with running(Settings(data=home, port=port, access_log=False)) as url:
                screen.print(f"The registry of this demo runs at [bold]{url}[/]. Four services will now use it.\n")
                admin = RegistryConfig(url=url, token=_read_token(home / "admin-token"))
                run(screen, admin, Path(scratch))
                if not exit_after:
                    _serve(screen, admin, home)
    except (CannotStart, StartFailed) as error:
        Console(stderr=True).print(Text(escape(str(error))), soft_wrap=True)
        return 1
    rest = f"To use its data again: registry-server serve --data {data}" if data else "Its data is removed."
    screen.print(Text(f"The server has stopped. {rest}"), soft_wrap=True)
    return 0


def _read_token(file: Path) -> str:
    return read_own(file, most_bytes=_MOST_BYTES, secret=True).decode().strip()


def _screen() -> Console:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character such as “±” that the locale cannot encode must not end the demo.
        sys.stdout.reconfigure(errors="replace")
    screen = Console(highlight=False, emoji=False)
    screen.width = min(screen.width, _WIDTH) if screen.is_terminal else _WIDTH
    return screen


def _require_empty(data: Path | None) -> None:
    # The demo must not add its principals and models to a registry that is in use.
    if data is not None and data.exists() and not (data.is_dir() and not any(data.iterdir())):
        raise CannotStart(f"{data} is not an empty folder: give --data a new folder, or omit it for a temporary one.")


def _load_scenario(screen: Console) -> Callable[[Console, RegistryConfig, Path], None]:
    try:
        with screen.status("Loading scikit-learn …"):
            from registry_server.demo.scenario import run  # noqa: PLC0415 - an extra may be absent; it takes seconds
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise CannotStart(f"The demo needs {missing.name}: pip install 'model-registry-service[demo]'.") from None
    return run


def _serve(screen: Console, admin: RegistryConfig, home: Path) -> None:
    receiver, sender = socket.socketpair()
    with receiver, sender:
        # `signal.pause` misses a signal that arrives just before it; a byte in a socket stays until it is read.
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.fileno())
        for stopping in (signal.SIGINT, signal.SIGTERM):
            # The handler raises no exception: on a second Ctrl-C it would interrupt the removal of the data.
            signal.signal(stopping, lambda *_: None)
        screen.rule(Text("Your turn", "bold"), align="left", style="dim")
        # Wrapped lines could not be copied into a shell.
        screen.print(Text(_instructions(admin, home)), soft_wrap=True)
        receiver.recv(1)
        signal.set_wakeup_fd(-1)


def _instructions(admin: RegistryConfig, home: Path) -> str:
    # If the user called `registry-server` by its path, `registry` may not be on PATH.
    registry = "registry" if shutil.which("registry") else Path(sys.executable).with_name("registry")
    return f"""\
The admin's token is in {home / "admin-token"}.

export REGISTRY_URL={admin.url}
export REGISTRY_TOKEN={admin.token}

curl -H "Authorization: Bearer $REGISTRY_TOKEN" $REGISTRY_URL/v1/models
curl -H "Authorization: Bearer $REGISTRY_TOKEN" $REGISTRY_URL/v1/events
{registry} models list
{registry} versions show eurusd-volatility production
{registry} diff eurusd-volatility 2 3

Press Ctrl-C to stop the server."""
