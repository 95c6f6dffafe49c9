"""The command `registry events`, which shows the event log."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from common_lib.cli import options, show
from common_lib.cli.session import Session, with_session

if TYPE_CHECKING:
    from common_lib.registry import ModelRegistry
    from common_lib.types.events import Event


@click.command()
@click.option(
    "--after",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="Show only events with a sequence number above N.",
)
@options.limit_option
@with_session
def events(session: Session, *, after: int, limit: int | None) -> None:
    """Show the event log for auditors and admins, the oldest event first: who changed what, when and why.

    With --json, each event also contains the values before and after the change.
    """
    found = options.take(limit, lambda page_size: _events_after(session.registry, after, page_size))
    session.output(found, lambda: _table(found))
    if len(found) == limit:
        session.note(f"there may be more events: to show them, use --after {int(found[-1].sequence)}")


def _events_after(registry: "ModelRegistry", sequence: int, page_size: int) -> "Iterator[Event]":
    while found := registry.events.after(sequence, limit=page_size):
        yield from found
        sequence = int(found[-1].sequence)


def _table(found: "list[Event]") -> Table:
    rows: list[tuple[show.Cell, ...]] = [
        (
            str(int(event.sequence)),
            show.time(event.time),
            event.actor,
            _format_type(event),
            show.text(event.subject, "bold"),
            str(event.data.get("reason", "")),
        )
        for event in found
    ]
    return show.table(
        ("", "time", "actor", "event", "subject", "reason"), rows, right=("",), free=("subject", "reason")
    )


def _format_type(event: "Event") -> show.Cell:
    kind = event.type.removeprefix("registry.")
    return show.text(f"{kind} (forced)", "yellow") if event.data.get("forced") else show.text(kind)
