"""The program `registry-server`: serve, demo, migrate, and the groups of the other files."""

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
from registry_server.cli.stores import store
from registry_server.cli.tokens import token
from registry_server.settings import Settings

_UNREACHABLE = (ConnectionError, TimeoutError, socket.gaierror)
# Names, because asyncpg is imported only where a database is in PostgreSQL, and its errors arrive here as texts.
_DENIED = ("InvalidPasswordError", "InvalidAuthorizationSpecificationError", "InvalidCatalogNameError")


@click.group(cls=SafeGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="model-registry-service")
def program() -> None:
    """The model registry's server.

    `registry-server serve` needs no configuration.
    """


@program.command()
@with_settings
@click.option("--host", default="127.0.0.1", show_default=True, help="The loopback address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", default=8321, show_default=True, help="0 takes a free one."
)
@click.option(
    "--allowed-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name in the Host header to answer for besides those of loopback, such as a proxy's; may be repeated.",
)
@click.option("--quiet", is_flag=True, help="No line in the log for each request; refusals are logged all the same.")
def serve(settings: Settings, *, host: str, port: int, hosts: tuple[str, ...], quiet: bool) -> None:
    """Serve until Ctrl-C or SIGTERM.

    The first start makes the data folder, its database and a token for the first admin. Status 0 after a clean end, 1
    if the server could not start or did not end cleanly. Limits and quotas are set by variables such as
    REGISTRY_SERVER_MAX_OPEN_UPLOADS.
    """
    from registry_server import logs, serving  # noqa: PLC0415 - help does not wait for the server's imports

    hosts = (*settings.allowed_hosts, *hosts)
    settings = msgspec.structs.replace(settings, host=host, port=port, allowed_hosts=hosts, access_log=not quiet)
    logs.configure()
    try:
        server = serving.server(settings)

        def end(*_: object) -> None:
            server.should_exit = True

        # uvicorn raises the signal that ended it once more when it has ended; to be told to stop is no failure.
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, end)
        server.on_start = lambda: _announce(server.url, settings.data)
        server.run()
    except (serving.StartFailed, OSError) as failure:
        fail(_reason(failure, settings))
    if server.force_exit:
        fail("The model registry was told twice to stop, and cut off the requests at work.")
    if server.lifespan.should_exit:
        fail("The model registry has stopped, but not cleanly: the log says why.")
    _take_leave()


@program.command()
@click.option("--data", type=PathType(), metavar="FOLDER", help="A new folder to keep the data in.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", default=8321, show_default=True, help="0 takes a free one."
)
@click.option("--exit", "exit_after", is_flag=True, help="End when all was shown, instead of serving on.")
@click.pass_context
def demo(ctx: click.Context, *, data: Path | None, port: int, exit_after: bool) -> None:
    """Show the registry at work: a real server, real models, and the four services (extra `demo`)."""
    try:
        story = import_module("registry_server.demo.story")
        status = story.main(exit_after, data, port)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] in {"common_lib", "adapters", "registry_server"}:
            raise
        fail(f"the demo needs {missing.name}: pip install 'model-registry-service[demo]'")
    ctx.exit(status)


@program.command()
@with_settings
def migrate(settings: Settings) -> None:
    """Bring the schema of the database up to date and say what was done; `serve` does it too."""
    from registry_server.cli.schema import migrated  # noqa: PLC0415 - see `serve`

    taken = migrated(settings)
    for step in taken:
        click.echo(f"taken: {escape(step)}")
    if not taken:
        click.echo("the schema is up to date")


program.add_command(token)
program.add_command(principal)
program.add_command(gc)
program.add_command(doctor)
program.add_command(store)


def _announce(url: str, data: Path) -> None:
    file = data / "admin-token"
    err = show.stderr()
    if not err.is_terminal:
        # Whoever collects the log gets JSON lines and nothing else.
        facts = {"url": url, "data": str(data), "admin_token_file": str(file) if file.exists() else None}
        logging.getLogger("registry_server").info("serving at %s", url, extra=facts)
        return
    err.print(show.text(f"The model registry serves at {url}, its data is in {data}.", "bold green"), soft_wrap=True)
    if file.exists():
        err.print(show.text(f"The first admin's token is in {file}."), soft_wrap=True)
    err.print(show.text("Ctrl-C ends it."))


def _reason(failure: Exception, settings: Settings) -> str:
    # What the event loop says of a connection need not name the address; the URL may hold a password.
    if settings.database_url and any(isinstance(cause, _UNREACHABLE) for cause in _causes(failure)):
        from registry_server.infrastructure.database_url import DatabaseUrl  # noqa: PLC0415 - see `serve`

        return f"PostgreSQL at {DatabaseUrl.parse(settings.database_url).host_names} cannot be reached: {failure}"
    if settings.database_url and any(name in str(failure) for name in _DENIED):
        return f"{failure}; check user, password and name of the database in --database-url or REGISTRY_DATABASE_URL"
    return str(failure)


def _causes(failure: BaseException) -> Iterator[BaseException]:
    cause = failure.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _take_leave() -> None:
    err = show.stderr()
    if err.is_terminal:
        err.print(show.text("The model registry has stopped cleanly.", "bold green"))
    else:
        logging.getLogger("registry_server").info("stopped cleanly")
