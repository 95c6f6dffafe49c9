"""`registry-server token`: who may come in."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.table import Table

from common_lib.cli import show
from common_lib.cli.failures import EXIT_CODES, reported
from registry_server.cli.options import fail, with_settings
from registry_server.domain.principals import Role
from registry_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from common_lib.access import Grant, IssuedToken, Token
    from common_lib.registry import ModelRegistry

_SOON = timedelta(days=14)
_ROLES = [str(role) for role in Role]


@click.group(epilog=EXIT_CODES)
def token() -> None:
    """Tokens: through the server that owns the data folder, or, if none runs, on the folder itself."""


def _reach(command: "Callable[..., None]") -> "Callable[..., None]":
    url = click.option("--url", metavar="URL", help="The address of the registry, if it does not run on this machine.")
    file = click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The file with the token of an admin, if it is not admin-token in the data folder.",
    )
    return with_settings(url(file(command)))


@token.command()
@_reach
@click.option("--name", required=True, help="The principal; it is created if it is not there.")
@click.option("--kind", type=click.Choice(["human", "service"]), help="What a new principal is; without it, a service.")
@click.option(
    "--role",
    "roles",
    type=click.Choice(_ROLES),
    metavar="ROLE",
    multiple=True,
    help=f"A role on all models, for a new principal: {', '.join(_ROLES)}; may be repeated.",
)
@click.option(
    "--grant",
    "grants",
    metavar="ROLE:PATTERN",
    multiple=True,
    help="A role on some models, such as analysis:eurusd-*; may be repeated.",
)
@click.option(
    "--valid-days",
    type=click.IntRange(1, 3650),
    metavar="N",
    default=90,
    show_default=True,
    help="How long the token is valid.",
)
def create(
    settings: Settings,
    *,
    url: str | None,
    token_file: Path | None,
    name: str,
    kind: str | None,
    roles: tuple[str, ...],
    grants: tuple[str, ...],
    valid_days: int,
) -> None:
    """A new token; its secret is written to standard output, this once."""
    from registry_server.cli.access import administration  # noqa: PLC0415 - help does not wait for the imports

    asked = [_grant(text) for text in (*(f"{role}:*" for role in roles), *grants)]
    with reported(as_json=False), administration(settings, url, token_file) as registry:
        _ensure(registry, name, kind, asked)
        issued: IssuedToken = registry.principals.issue_token(name, valid_days=valid_days)
    about = f"token {issued.token.id} of {name}, valid until {show.time(issued.token.expires_at)}"
    if issued.secret is None:
        fail(f"the answer with the secret of {about} was lost on the way: revoke it and create another")
    click.echo(issued.secret)
    show.stderr().print(show.text(f"{about}; its secret is shown this once"), soft_wrap=True)


@token.command("list")
@_reach
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
@_reach
@click.argument("token_id", metavar="ID")
def revoke(settings: Settings, *, url: str | None, token_file: Path | None, token_id: str) -> None:
    """End a token, which is refused within five seconds; `list` shows the ids."""
    from registry_server.cli.access import administration  # noqa: PLC0415 - see above

    with reported(as_json=False), administration(settings, url, token_file) as registry:
        ended = registry.principals.revoke_token(token_id)
    click.echo(f"token {ended.id} of {ended.principal} is revoked")


def _grant(text: str) -> "Grant":
    from common_lib.access import Grant, Role  # noqa: PLC0415 - see above

    role, _, models = text.partition(":")
    if role not in _ROLES:
        raise click.BadParameter(f"{role!r} in {text!r} is none of {', '.join(_ROLES)}", param_hint="--grant")
    try:
        return Grant(role=Role(role), models=models)
    except ValueError:
        raise click.BadParameter(
            f"{models!r} in {text!r} is no pattern: write a model's name, a prefix followed by *, or *",
            param_hint="--grant",
        ) from None


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
    have = {(grant.role, grant.models) for grant in found.grants}
    if (kind or found.kind) != found.kind or (asked and {(grant.role, grant.models) for grant in asked} != have):
        grants = ", ".join(f"{role}:{models}" for role, models in sorted(have)) or "nothing"
        fail(
            f"principal {name} is there already, a {found.kind} with {grants}; "
            "without --kind, --role and --grant it gets another token as it is"
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
