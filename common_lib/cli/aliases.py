"""The command group `registry aliases`, which lists, sets and deletes aliases."""

from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from common_lib.cli import options, show
from common_lib.cli.session import Session, with_session

if TYPE_CHECKING:
    from common_lib.types.aliases import Alias


@click.group()
def aliases() -> None:
    """Manage aliases: names such as champion or shadow that refer to a version and can be moved."""


@aliases.command("list")
@click.argument("name")
@with_session
def list_aliases(session: Session, name: str) -> None:
    """List the aliases of a model."""
    found = session.registry.aliases.list_of_model(name)
    session.output(found, lambda: _table(found))


@aliases.command("set")
@click.argument("name")
@click.argument("alias")
@click.argument("version", type=click.IntRange(min=1))
@options.reason_option
@options.change_options
@with_session
def set_alias(
    session: Session, *, name: str, alias: str, version: int, reason: str, revision: int | None, force: bool
) -> None:
    """Point an alias at a version; create the alias if it does not exist."""
    options.check_precondition(revision, force)
    after = session.registry.set_alias(name, alias, version, reason=reason, revision=revision, force=force)
    session.output(after, lambda: _table([after]))


@aliases.command()
@click.argument("name")
@click.argument("alias")
@options.reason_option
@options.change_options
@with_session
def delete(session: Session, *, name: str, alias: str, reason: str, revision: int | None, force: bool) -> None:
    """Delete an alias. The version that it points at is not changed."""
    registry = session.registry.aliases
    last = registry.get(name, alias)
    registry.delete(name, alias, reason=reason, **options.precondition(revision, force, lambda: last))
    session.output(last, lambda: show.text(f"{name}@{alias} is deleted; it pointed at version {last.version}"))


def _table(found: "list[Alias]") -> Table:
    columns = ("alias", "version", "updated", "by", "revision")
    rows = [
        (show.text(a.alias, "bold"), str(a.version), show.time(a.updated_at), a.updated_by, str(a.revision))
        for a in found
    ]
    return show.table(columns, rows, right=("version", "revision"))
