"""The program `registry-server`: its commands serve, demo and migrate, and the command groups of the other files."""

import logging
import signal
import socket
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import msgspec
import rich_click as click

from common_lib.cli import show
from common_lib.cli.groups import SafeGroup
from common_lib.cli.paths import PathType
from common_lib.escapes import escape
from registry_server.cli.collection import gc
from registry_server.cli.doctor import doctor
from registry_server.cli.options import fail, with_settings
from registry_server.cli.principals import principal
from registry_server.cli.store import store
from registry_server.cli.tokens import token
from registry_server.settings import Settings

_PORT_HELP = "The port to listen on; 0 for any free port."
_UNREACHABLE = (ConnectionError, TimeoutError, socket.gaierror)
# Names instead of classes, because asyncpg may be absent and its errors arrive here as text.
_DENIED = ("InvalidPasswordError", "InvalidAuthorizationSpecificationError", "InvalidCatalogNameError")


@click.group(cls=SafeGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="model-registry-service")
def program() -> None:
    """Run and operate the server of the model registry.

    `registry-server serve` works without configuration.
    """


@program.command()
@with_settings
@click.option("--host", default="127.0.0.1", show_default=True, help="The loopback address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", default=8321, show_default=True, help=_PORT_HELP)
@click.option(
    "--allowed-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A host name that clients may use besides loopback names, such as the name of a proxy; may be repeated.",
)
@click.option("--quiet", is_flag=True, help="Log only refused requests, not every request.")
def serve(settings: Settings, *, host: str, port: int, hosts: tuple[str, ...], quiet: bool) -> None:
    """Run the server until Ctrl-C or SIGTERM.

    The first start creates the data folder, its database and a token for the first admin. Exit status 0 after a clean
    stop, 1 if the server cannot start or does not stop cleanly. Environment variables such as
    REGISTRY_SERVER_MAX_OPEN_UPLOADS set limits and quotas.
    """
    from registry_server import logs, serving  # noqa: PLC0415 - help does not wait for the server's imports

    hosts = (*settings.allowed_hosts, *hosts)
    settings = msgspec.structs.replace(settings, host=host, port=port, allowed_hosts=hosts, access_log=not quiet)
    logs.configure()
    try:
        server = serving.create_server(settings)

        def stop(*_: object) -> None:
            server.should_exit = True

        # After it has stopped, uvicorn raises the signal again; without these handlers the exit status would not be 0.
        for stopping in (signal.SIGINT, signal.SIGTERM):
            signal.signal(stopping, stop)
        server.on_start = lambda: _log_started(server.url, settings.data)
        server.run()
    except (serving.StartFailed, OSError) as failure:
        fail(_reason(failure, settings))
    if server.force_exit:
        fail("The model registry received a second stop signal and aborted the requests in progress.")
    if server.lifespan.should_exit:
        fail("The model registry did not stop cleanly: see the log for the cause.")
    _log_stopped()


@program.command()
@click.option(
    "--data", type=PathType(), metavar="FOLDER", help="A new folder for the data. Default: a temporary folder."
)
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", default=8321, show_default=True, help=_PORT_HELP)
@click.option("--exit", "exit_after", is_flag=True, help="Exit at the end instead of serving until Ctrl-C.")
@click.pass_context
def demo(ctx: click.Context, *, data: Path | None, port: int, exit_after: bool) -> None:
    """Demonstrate the registry with a real server, real models and four client services (extra `demo`)."""
    try:
        command = import_module("registry_server.demo.command")
        status = command.main(exit_after, data, port)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] in {"common_lib", "adapters", "registry_server"}:
            raise
        fail(f"the demo needs {missing.name}: pip install 'model-registry-service[demo]'")
    ctx.exit(status)


@program.command()
@with_settings
def migrate(settings: Settings) -> None:
    """Bring the schema of the database up to date, and print the applied steps. `serve` also does this at its start."""
    from registry_server.cli.schema import apply_steps  # noqa: PLC0415 - see `serve`

    applied = apply_steps(settings)
    for step in applied:
        click.echo(f"applied: {escape(step)}")
    if not applied:
        click.echo("the schema is up to date")


program.add_command(token)
program.add_command(principal)
program.add_command(gc)
program.add_command(doctor)
program.add_command(store)


def _log_started(url: str, data: Path) -> None:
    file = data / "admin-token"
    err = show.stderr()
    if not err.is_terminal:
        # Without a terminal, standard error is a log of JSON lines only.
        facts = {"url": url, "data": str(data), "admin_token_file": str(file) if file.exists() else None}
        logging.getLogger("registry_server").info("serving at %s", url, extra=facts)
        return
    err.print(show.text(f"The model registry serves at {url}, its data is in {data}.", "bold green"), soft_wrap=True)
    if file.exists():
        err.print(show.text(f"The first admin's token is in {file}."), soft_wrap=True)
    err.print(show.text("Press Ctrl-C to stop."))


def _reason(failure: Exception, settings: Settings) -> str:
    # The error of a failed connection may lack the address. The URL may contain a password, so only its hosts are used.
    if settings.database_url and any(isinstance(cause, _UNREACHABLE) for cause in _causes(failure)):
        from registry_server.infrastructure.database_url import DatabaseUrl  # noqa: PLC0415 - see `serve`

        return f"cannot connect to PostgreSQL at {DatabaseUrl.parse(settings.database_url).host_names}: {failure}"
    if settings.database_url and any(name in str(failure) for name in _DENIED):
        return f"{failure}; check user, password and database name in --database-url or REGISTRY_DATABASE_URL"
    return str(failure)


def _causes(failure: BaseException) -> Iterator[BaseException]:
    cause = failure.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _log_stopped() -> None:
    err = show.stderr()
    if err.is_terminal:
        err.print(show.text("The model registry has stopped cleanly.", "bold green"))
    else:
        logging.getLogger("registry_server").info("stopped cleanly")
