"""`registry-server token`: who may come in."""

import contextlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.table import Table

from common_lib.cli import show
from common_lib.cli.failures import EXIT_CODES, reported
from common_lib.cli.paths import PathType
from common_lib.rules.access import MAX_TOKEN_DAYS
from registry_server.cli.options import fail, grant_options, reach
from registry_server.cli.principals import written
from registry_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from common_lib.registry import ModelRegistry
    from common_lib.types.principals import Grant, IssuedToken, Token

_SOON = timedelta(days=14)


@click.group(epilog=EXIT_CODES)
def token() -> None:
    """Tokens: through the server that owns the data folder, or, if none runs, on the folder itself."""


@token.command()
@reach
@click.option("--name", required=True, help="The principal; it is created if it is not there.")
@click.option("--kind", type=click.Choice(["human", "service"]), help="What a new principal is; without it, a service.")
@grant_options
@click.option(
    "--valid-days",
    type=click.IntRange(1, MAX_TOKEN_DAYS),
    metavar="N",
    default=90,
    show_default=True,
    help="How long the token is valid.",
)
@click.option(
    "--out",
    type=PathType(dir_okay=False),
    metavar="FILE",
    help="A new file for the secret, which only you can read; without it, the secret goes to standard output.",
)
def create(
    settings: Settings,
    *,
    url: str | None,
    token_file: Path | None,
    name: str,
    kind: str | None,
    grants: "list[Grant]",
    valid_days: int,
    out: Path | None,
) -> None:
    """A new token; its secret is written this once, to a file by --out, else to standard output.

    --role and --grant say what a new principal may do.
    """
    from registry_server.cli.access import administration  # noqa: PLC0415 - help does not wait for the imports

    with reported(as_json=False), _secret_file(out) as file:
        with administration(settings, url, token_file) as registry:
            _ensure(registry, name, kind, grants)
            issued: IssuedToken = registry.principals.issue_token(name, valid_days=valid_days)
        about = f"token {issued.token.id} of {name}, valid until {show.time(issued.token.expires_at)}"
        if issued.secret is None:
            fail(f"the answer with the secret of {about} was lost on the way: revoke it and create another")
        try:
            click.echo(issued.secret, file)
        except OSError as error:
            fail(f"the secret of {about} could not be written ({error.strerror}): revoke it and create another")
    where = f"its secret is in {out}" if out else "its secret is shown this once"
    show.stderr().print(show.text(f"{about}; {where}"), soft_wrap=True)


@token.command("list")
@reach
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document, and errors as JSON problems.")
def list_tokens(settings: Settings, *, url: str | None, token_file: Path | None, as_json: bool) -> None:
    """All tokens, without their secrets; what expires within 14 days is named on standard error."""
    from registry_server.cli.access import administration  # noqa: PLC0415 - see above

    with reported(as_json=as_json), administration(settings, url, token_file) as registry:
        found = sorted(registry.principals.tokens(), key=lambda token: (token.principal, token.created_at))
    now = datetime.now(UTC)
    if as_json:
        show.document([token.model_dump(mode="json") for token in found])
    else:
        show.put(_table(found, now))
    for soon in found:
        if soon.revoked_at is None and now < soon.expires_at <= now + _SOON:
            warning = (
                f"token {soon.id} of {soon.principal} expires on {show.time(soon.expires_at)}: create its successor"
            )
            show.stderr().print(show.text(f"! {warning}", "yellow"), soft_wrap=True)


@token.command()
@reach
@click.argument("token_id", metavar="ID")
@click.option(
    "--force", is_flag=True, help="Also if it is the last admin's last token; only while no server runs on the folder."
)
def revoke(settings: Settings, *, url: str | None, token_file: Path | None, token_id: str, force: bool) -> None:
    """End a token, which is refused within five seconds; `list` shows the ids."""
    from registry_server.cli.access import administration  # noqa: PLC0415 - see above

    with reported(as_json=False), administration(settings, url, token_file, force=force) as registry:
        ended = registry.principals.revoke_token(token_id)
    show.put(show.text(f"token {ended.id} of {ended.principal} is revoked"))


@contextlib.contextmanager
def _secret_file(out: Path | None) -> "Iterator[TextIO | None]":
    """A new file, readable by its owner only whatever the umask; it is gone again if the block fails."""
    if out is None:
        yield None
        return
    try:
        # Made before the token: a secret that has no place to go must not come into being.
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        fail(f"{out} is there already, and is not overwritten: name a new file")
    try:
        with os.fdopen(descriptor, "w") as file:
            yield file
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _ensure(registry: "ModelRegistry", name: str, kind: str | None, asked: "list[Grant]") -> None:
    from common_lib.errors import PrincipalNotFound  # noqa: PLC0415 - see above

    try:
        found = registry.principals.get(name)
    except PrincipalNotFound:
        if not asked:
            raise click.UsageError(
                f"there is no principal {name!r} yet: say what it may do by --role or --grant"
            ) from None
        registry.principals.create(name, kind or "service", asked)
        return
    if (kind or found.kind) != found.kind or (asked and set(asked) != set(found.grants)):
        fail(
            f"principal {name} is there already, a {found.kind} with grants {written(found.grants)}; without --kind, "
            "--role and --grant it gets another token as it is, and `registry-server principal update` changes grants"
        )


def _table(found: "list[Token]", now: datetime) -> Table:
    rows: list[Any] = [
        (
            show.text(token.principal, "bold"),
            token.id,
            show.time(token.created_at),
            show.text(show.time(token.expires_at), "red" if token.expires_at <= now else ""),
            show.text(show.time(token.revoked_at), "red") if token.revoked_at else "",
        )
        for token in found
    ]
    return show.table(("principal", "id", "created", "expires", "revoked"), rows)
