"""`registry-server demo`: a real server on loopback, four services at work on it, and then it is yours to try."""

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


class CannotBegin(Exception):
    """The demo cannot begin; the message says why and what to do."""


def main(exit_after: bool, data: Path | None, port: int) -> int:  # noqa: FBT001 - only the command line calls it
    """Status 0 when all was shown and, unless `exit_after`, Ctrl-C ended the server; 1 when the demo cannot begin.

    The registry lives in `data`, which must be new or empty and is kept, or else in a temporary folder that goes.
    Port 0 takes a free one.
    """
    screen = _screen()
    try:
        _require_empty(data)
        play = _loaded(screen)
        with tempfile.TemporaryDirectory(prefix="registry-demo-") as scratch:
            home = data or Path(scratch) / "registry"
            with running(Settings(data=home, port=port, access_log=False)) as url:
                screen.print(f"A registry for this demo is up at [bold]{url}[/], four services are about to use it.\n")
                admin = RegistryConfig(url=url, token=_secret(home / "admin-token"))
                play(screen, admin, Path(scratch))
                if not exit_after:
                    _serve(screen, admin, home)
    except (CannotBegin, StartFailed) as why:
        Console(stderr=True).print(Text(escape(str(why))), soft_wrap=True)
        return 1
    kept = f"{data} is kept: registry-server serve --data {data} goes on with it." if data else "Its data is removed."
    screen.print(Text(f"The server has ended. {kept}"), soft_wrap=True)
    return 0


def _secret(file: Path) -> str:
    return read_own(file, most_bytes=_MOST_BYTES, secret=True).decode().strip()


def _screen() -> Console:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A locale that cannot say “±” must not end the demo halfway.
        sys.stdout.reconfigure(errors="replace")
    screen = Console(highlight=False, emoji=False)
    screen.width = min(screen.width, _WIDTH) if screen.is_terminal else _WIDTH
    return screen


def _require_empty(data: Path | None) -> None:
    # Its principals and models would otherwise end up in a registry that somebody uses.
    if data is not None and data.exists() and not (data.is_dir() and not any(data.iterdir())):
        raise CannotBegin(f"{data} is not an empty folder: give the demo a new one, or none for a temporary one.")


def _loaded(screen: Console) -> Callable[[Console, RegistryConfig, Path], None]:
    try:
        with screen.status("Loading scikit-learn …"):
            from registry_server.demo.acts import play  # noqa: PLC0415 - an extra may be absent, and it takes seconds
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise CannotBegin(f"The demo needs {missing.name}: pip install 'model-registry-service[demo]'.") from None
    return play


def _serve(screen: Console, admin: RegistryConfig, home: Path) -> None:
    heard, told = socket.socketpair()
    with heard, told:
        # `signal.pause` sleeps through a signal that comes just before it; a byte in a socket waits to be read.
        told.setblocking(False)
        signal.set_wakeup_fd(told.fileno())
        for ending in (signal.SIGINT, signal.SIGTERM):
            # No exception: at a second, impatient Ctrl-C it would leave the data behind that is being removed.
            signal.signal(ending, lambda *_: None)
        screen.rule(Text("Your turn", "bold"), align="left", style="dim")
        # Wrapped lines could not be copied into a shell.
        screen.print(Text(_invitation(admin, home)), soft_wrap=True)
        heard.recv(1)
        signal.set_wakeup_fd(-1)


def _invitation(admin: RegistryConfig, home: Path) -> str:
    # Whoever called the program by its path may not have the other one on theirs.
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

Ctrl-C ends the server."""
