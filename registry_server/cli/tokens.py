"""`registry-server token`: create, list and revoke tokens."""

import contextlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.table import Table

from common_lib.cli import show
from common_lib.cli.failures import EXIT_CODES, exit_on_error
from common_lib.cli.paths import PathType
from common_lib.rules.access import MAX_TOKEN_DAYS
from registry_server.cli.options import fail, grant_options, json_option, with_registry_options
from registry_server.cli.principals import format_grants
from registry_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from common_lib.registry import ModelRegistry
    from common_lib.types.principals import Grant, IssuedToken, Token

_SOON = timedelta(days=14)


@click.group(epilog=EXIT_CODES)
def token() -> None:
    """Manage tokens: through the server that owns the data folder, or in the folder itself if no server runs."""


@token.command()
@with_registry_options
@click.option("--name", required=True, help="The principal; it is created if it does not exist.")
@click.option("--kind", type=click.Choice(["human", "service"]), help="Kind of a new principal. Default: service.")
@grant_options
@click.option(
    "--valid-days",
    type=click.IntRange(1, MAX_TOKEN_DAYS),
    metavar="DAYS",
    default=90,
    show_default=True,
    help="Days until the token expires.",
)
@click.option(
    "--out",
    type=PathType(dir_okay=False),
    metavar="FILE",
    help="Write the secret to this new file, which only you can read. Default: standard output.",
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
    """Create a token and print its secret. The secret cannot be printed again.

    --role and --grant set the grants of a new principal.
    """
    from registry_server.cli.administration import open_registry  # noqa: PLC0415 - help does not wait for the imports

    with exit_on_error(as_json=False), _secret_file(out) as file:
        with open_registry(settings, url, token_file) as registry:
            _ensure_principal(registry, name, kind, grants)
            issued: IssuedToken = registry.principals.issue_token(name, valid_days=valid_days)
        about = f"token {issued.token.id} of {name}, valid until {show.time(issued.token.expires_at)}"
        if issued.secret is None:
            fail(f"the response with the secret of {about} was lost: revoke the token and create another")
        try:
            click.echo(issued.secret, file)
        except OSError as error:
            fail(f"cannot write the secret of {about} ({error.strerror}): revoke the token and create another")
    where = f"the secret is in {out}" if out else "the secret cannot be printed again"
    show.stderr().print(show.text(f"{about}; {where}"), soft_wrap=True)


@token.command("list")
@with_registry_options
@json_option
def list_tokens(settings: Settings, *, url: str | None, token_file: Path | None, as_json: bool) -> None:
    """List all tokens, without their secrets.

    Print a warning on standard error for each token that expires within 14 days.
    """
    from registry_server.cli.administration import open_registry  # noqa: PLC0415 - see above

    with exit_on_error(as_json=as_json), open_registry(settings, url, token_file) as registry:
        found = sorted(registry.principals.tokens(), key=lambda token: (token.principal, token.created_at))
    now = datetime.now(UTC)
    if as_json:
        show.write_json([token.model_dump(mode="json") for token in found])
    else:
        show.write(_table(found, now))
    for soon in found:
        if soon.revoked_at is None and now < soon.expires_at <= now + _SOON:
            warning = f"token {soon.id} of {soon.principal} expires on {show.time(soon.expires_at)}: create a new token"
            show.stderr().print(show.text(f"! {warning}", "yellow"), soft_wrap=True)


@token.command()
@with_registry_options
@click.argument("token_id", metavar="ID")
@click.option(
    "--force",
    is_flag=True,
    help="Revoke even the last token of the last admin. Works only while no server runs on the folder.",
)
def revoke(settings: Settings, *, url: str | None, token_file: Path | None, token_id: str, force: bool) -> None:
    """Revoke a token; the server refuses it within five seconds. `token list` shows the ids."""
    from registry_server.cli.administration import open_registry  # noqa: PLC0415 - see above

    with exit_on_error(as_json=False), open_registry(settings, url, token_file, force=force) as registry:
        revoked = registry.principals.revoke_token(token_id)
    show.write(show.text(f"token {revoked.id} of {revoked.principal} is revoked"))


@contextlib.contextmanager
def _secret_file(out: Path | None) -> "Iterator[TextIO | None]":
    """Create a file that only its owner can read, whatever the umask; delete it if the block fails."""
    if out is None:
        yield None
        return
    try:
        # The file is created before the token, so that every secret can be written.
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        fail(f"{out} already exists and is not overwritten: give the path of a new file")
    try:
        with os.fdopen(descriptor, "w") as file:
            yield file
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _ensure_principal(registry: "ModelRegistry", name: str, kind: str | None, grants: "list[Grant]") -> None:
    from common_lib.errors import PrincipalNotFound  # noqa: PLC0415 - see above

    try:
        found = registry.principals.get(name)
    except PrincipalNotFound:
        if not grants:
            raise click.UsageError(
                f"principal {name!r} does not exist: to create it, give its grants with --role or --grant"
            ) from None
        registry.principals.create(name, kind or "service", grants)
        return
    if (kind or found.kind) != found.kind or (grants and set(grants) != set(found.grants)):
        fail(
            f"principal {name} already exists, a {found.kind} with grants {format_grants(found.grants)}; omit --kind, "
            "--role and --grant to issue another token for it, or change its grants with "
            "`registry-server principal update`"
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
