"""`registry-server principal`: who the registry knows, and what they may do."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from common_lib.cli import show
from common_lib.cli.failures import EXIT_CODES, reported
from common_lib.cli.values import based_on, change_options, reason_option
from registry_server.cli.options import grant_options, grant_type, reach
from registry_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from common_lib.types.principals import Grant, Principal


@click.group(epilog=EXIT_CODES)
def principal() -> None:
    """Principals: through the server that owns the data folder, or, if none runs, on the folder itself."""


@principal.command("list")
@reach
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document, and errors as JSON problems.")
def list_principals(settings: Settings, *, url: str | None, token_file: Path | None, as_json: bool) -> None:
    """All principals and their grants."""
    from registry_server.cli.access import administration  # noqa: PLC0415 - help does not wait for the imports

    with reported(as_json=as_json), administration(settings, url, token_file) as registry:
        found = list(registry.principals.search())
    if as_json:
        show.document([principal.model_dump(mode="json") for principal in found])
    else:
        show.put(_table(found))


@principal.command()
@reach
@click.argument("name")
@grant_options
@click.option(
    "--remove-grant",
    "removed",
    type=grant_type,
    metavar="ROLE:PATTERN",
    multiple=True,
    help="A grant to remove, as `list` shows it; may be repeated.",
)
@reason_option
@change_options
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document, and errors as JSON problems.")
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
    """Add and remove grants of a principal; those that are not named stay, and its tokens follow at once."""
    from registry_server.cli.access import administration  # noqa: PLC0415 - see above

    if not grants and not removed:
        raise click.UsageError("say what changes by --role, --grant or --remove-grant")
    with reported(as_json=as_json), administration(settings, url, token_file, force=force) as registry:
        before = registry.principals.get(name)
        wanted = _changed(before, grants, removed)
        basis = based_on(revision, force, lambda: before)
        after = registry.principals.update(name, wanted, reason=reason, **basis)
    if as_json:
        show.document(after.model_dump(mode="json"))
    else:
        show.put(_table([after]))


def written(grants: "Iterable[Grant]") -> str:
    """Grants as they are typed."""
    return ", ".join(sorted(f"{grant.role}:{grant.models}" for grant in grants)) or "none"


def _changed(before: "Principal", added: "list[Grant]", removed: "tuple[Grant, ...]") -> "list[Grant]":
    if missing := [grant for grant in removed if grant not in before.grants]:
        raise click.UsageError(f"{before.name} has no grant {written(missing)}; it has {written(before.grants)}")
    kept = [grant for grant in before.grants if grant not in removed]
    return kept + [grant for grant in dict.fromkeys(added) if grant not in kept]


def _table(found: "list[Principal]") -> Table:
    rows: list[tuple[show.Cell, ...]] = [
        (
            show.text(principal.name, "bold"),
            str(principal.kind),
            written(principal.grants),
            show.time(principal.updated_at),
            str(principal.revision),
        )
        for principal in found
    ]
    return show.table(("principal", "kind", "grants", "updated", "revision"), rows, right=("revision",))
