"""`registry events`."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from common_lib.cli import show
from common_lib.cli.session import Session, connected

if TYPE_CHECKING:
    from common_lib.registry import ModelRegistry
    from common_lib.types.events import Event

_PAGE = 1000


@click.command()
@click.option(
    "--after",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="Only events behind this sequence number.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many; without it, all.")
@connected
def events(session: Session, *, after: int, limit: int | None) -> None:
    """The log: who did what, when, to what, and why; for auditors and admins.

    The oldest come first. The document of --json also has what was before and after.
    """
    found = list(itertools.islice(_behind(session.registry, after, min(limit or _PAGE, _PAGE)), limit))
    session.answer(found, lambda: _table(found))
    if len(found) == limit:
        session.note(f"there may be more; --after {int(found[-1].sequence)} goes on")


def _behind(registry: "ModelRegistry", sequence: int, page: int) -> "Iterator[Event]":
    while found := registry.events.after(sequence, limit=page):
        yield from found
        sequence = int(found[-1].sequence)


def _table(found: "list[Event]") -> Table:
    rows: list[tuple[show.Cell, ...]] = [
        (
            str(int(event.sequence)),
            show.time(event.time),
            event.actor,
            _what(event),
            show.text(event.subject, "bold"),
            str(event.data.get("reason", "")),
        )
        for event in found
    ]
    return show.table(
        ("", "time", "actor", "event", "subject", "reason"), rows, right=("",), free=("subject", "reason")
    )


def _what(event: "Event") -> show.Cell:
    kind = event.type.removeprefix("registry.")
    return show.text(f"{kind} (forced)", "yellow") if event.data.get("forced") else show.text(kind)
