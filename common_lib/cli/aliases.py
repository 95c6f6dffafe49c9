"""`registry aliases`."""

from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from common_lib.cli import show
from common_lib.cli.session import Session, connected
from common_lib.cli.values import based_on, change_options, check_basis, reason_option

if TYPE_CHECKING:
    from common_lib.types.aliases import Alias


@click.group()
def aliases() -> None:
    """Free pointers to versions, such as champion or shadow."""


@aliases.command("list")
@click.argument("name")
@connected
def list_aliases(session: Session, name: str) -> None:
    """The aliases of a model."""
    found = session.registry.aliases.of_model(name)
    session.answer(found, lambda: _table(found))


@aliases.command("set")
@click.argument("name")
@click.argument("alias")
@click.argument("version", type=click.IntRange(min=1))
@reason_option
@change_options
@connected
def set_alias(
    session: Session, *, name: str, alias: str, version: int, reason: str, revision: int | None, force: bool
) -> None:
    """Point an alias at a version; one that is not there is created."""
    check_basis(revision, force)
    pointed = session.registry.set_alias(name, alias, version, reason=reason, revision=revision, force=force)
    session.answer(pointed, lambda: _table([pointed]))


@aliases.command()
@click.argument("name")
@click.argument("alias")
@reason_option
@change_options
@connected
def delete(session: Session, *, name: str, alias: str, reason: str, revision: int | None, force: bool) -> None:
    """Remove an alias; the version it points at stays."""
    registry = session.registry.aliases
    last = registry.get(name, alias)
    registry.delete(name, alias, reason=reason, **based_on(revision, force, lambda: last))
    session.answer(last, lambda: show.text(f"{name}@{alias} is gone; it pointed at version {last.version}"))


def _table(found: "list[Alias]") -> Table:
    columns = ("alias", "version", "updated", "by", "revision")
    rows = [
        (show.text(a.alias, "bold"), str(a.version), show.time(a.updated_at), a.updated_by, str(a.revision))
        for a in found
    ]
    return show.table(columns, rows, right=("version", "revision"))
