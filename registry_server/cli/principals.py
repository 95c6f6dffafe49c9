"""`registry-server principal`: list principals and change their grants."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from common_lib.cli import show
from common_lib.cli.failures import EXIT_CODES, exit_on_error
from common_lib.cli.options import change_options, precondition, reason_option
from registry_server.cli.options import grant_options, json_option, parse_grant, with_registry_options
from registry_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from common_lib.types.principals import Grant, Principal


@click.group(epilog=EXIT_CODES)
def principal() -> None:
    """Manage principals: through the server that owns the data folder, or in the folder itself if no server runs."""


@principal.command("list")
@with_registry_options
@json_option
def list_principals(settings: Settings, *, url: str | None, token_file: Path | None, as_json: bool) -> None:
    """List all principals and their grants."""
    from registry_server.cli.administration import open_registry  # noqa: PLC0415 - help does not wait for the imports

    with exit_on_error(as_json=as_json), open_registry(settings, url, token_file) as registry:
        found = list(registry.principals.search())
    if as_json:
        show.write_json([principal.model_dump(mode="json") for principal in found])
    else:
        show.write(_table(found))


@principal.command()
@with_registry_options
@click.argument("name")
@grant_options
@click.option(
    "--remove-grant",
    "removed",
    type=parse_grant,
    metavar="ROLE:PATTERN",
    multiple=True,
    help="A grant to remove, as `principal list` prints it; may be repeated.",
)
@reason_option
@change_options
@json_option
def update(
    settings: Settings,
    *,
    url: str | None,
    token_file: Path | None,
    name: str,
    grants: "list[Grant]",
    removed: "tuple[Grant, ...]",
    reason: str,
    revision: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Add and remove grants of a principal.

    Other grants do not change. The new grants apply to existing tokens at once.
    """
    from registry_server.cli.administration import open_registry  # noqa: PLC0415 - see above

    if not grants and not removed:
        raise click.UsageError("give the change with --role, --grant or --remove-grant")
    with exit_on_error(as_json=as_json), open_registry(settings, url, token_file, force=force) as registry:
        before = registry.principals.get(name)
        edited = _edit_grants(before, grants, removed)
        basis = precondition(revision, force, lambda: before)
        after = registry.principals.update(name, edited, reason=reason, **basis)
    if as_json:
        show.write_json(after.model_dump(mode="json"))
    else:
        show.write(_table([after]))


def format_grants(grants: "Iterable[Grant]") -> str:
    """Format grants as ROLE:PATTERN, separated by commas."""
    return ", ".join(sorted(f"{grant.role}:{grant.models}" for grant in grants)) or "none"


def _edit_grants(before: "Principal", added: "list[Grant]", removed: "tuple[Grant, ...]") -> "list[Grant]":
    if missing := [grant for grant in removed if grant not in before.grants]:
        raise click.UsageError(
            f"{before.name} does not have grant {format_grants(missing)}; it has {format_grants(before.grants)}"
        )
    remaining = [grant for grant in before.grants if grant not in removed]
    return remaining + [grant for grant in dict.fromkeys(added) if grant not in remaining]


def _table(found: "list[Principal]") -> Table:
    rows: list[tuple[show.Cell, ...]] = [
        (
            show.text(principal.name, "bold"),
            str(principal.kind),
            format_grants(principal.grants),
            show.time(principal.updated_at),
            str(principal.revision),
        )
        for principal in found
    ]
    return show.table(("principal", "kind", "grants", "updated", "revision"), rows, right=("revision",))
