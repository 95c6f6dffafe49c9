"""What people read: tables with aligned numbers, stages in their colours, times exact and in UTC."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich import box
from rich.console import Console, ConsoleDimensions, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from common_lib.escapes import escape, escape_json
from common_lib.rules.comparison import described

if TYPE_CHECKING:
    from common_lib.types.base import Tombstone
    from common_lib.types.versions import Recall, Signature

# Into a pipe or a file nothing is wrapped or cut, whatever its length.
_UNBOUNDED = 100_000
_STAGES = {"development": "cyan", "staging": "yellow", "production": "bold green", "archived": "dim"}
Cell = Text | str | int | None


def stdout() -> Console:
    """Where answers go."""
    return _console(stderr=False)


def stderr() -> Console:
    """Where everything goes that is no answer."""
    return _console(stderr=True)


def put(shown: RenderableType) -> None:
    """Write to standard output; what is too wide for the terminal is continued there, never cut."""
    console = stdout()
    narrowest = Measurement.get(console, console.options.update(max_width=_UNBOUNDED), shown).minimum
    # The width alone would be ignored on a dumb terminal.
    console.size = ConsoleDimensions(max(console.width, narrowest), console.height)
    console.print(shown)


def document(value: Any) -> None:
    """Write one JSON document to standard output."""
    click.echo(as_json(value, indent=2))


def as_json(value: Any, indent: int | None = None) -> str:
    """Return a JSON document, with each character that a reader cannot see replaced by its number."""
    return escape_json(json.dumps(value, indent=indent, ensure_ascii=False, default=str))


def text(value: object, style: str = "") -> Text:
    """Return a text as one line, with each character that could mislead a reader replaced by its number."""
    return Text(escape(str(value)), style)


def time(moment: datetime) -> str:
    """A moment in UTC, to the second.

    >>> time(datetime(2026, 3, 1, 9, 15, tzinfo=UTC))
    '2026-03-01 09:15:00Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def stage(value: str) -> Text:
    """A stage in its colour."""
    return text(value, _STAGES.get(str(value), ""))


def number(value: float) -> str:
    """A measured number with six significant digits; a whole one is exact.

    >>> number(0.5123456789), number(200_000_000)
    ('0.512346', '200,000,000')
    """
    return whole(value) if isinstance(value, int) else f"{value:.6g}"


def whole(value: int) -> str:
    """An exact whole number with its thousands apart.

    >>> whole(1234567)
    '1,234,567'
    """
    return f"{value:,}"


def count(number: int, thing: str) -> str:
    """So many things, in the singular for one.

    >>> count(1, "file"), count(1234, "byte")
    ('1 file', '1,234 bytes')
    """
    return f"{whole(number)} {thing}{'' if number == 1 else 's'}"


def pairs(mapping: dict[str, Any]) -> str:
    """The pairs of a mapping on one line."""
    return " ".join(f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in mapping.items())


def aligned(numbers: Sequence[float | None]) -> list[str]:
    """Numbers one below the other: their decimal points stand in one column.

    >>> aligned([0.5, 12, None])
    [' 0.5', '12  ', '']
    """
    texts = ["" if value is None else number(value) for value in numbers]
    points = [shown.find(".") if "." in shown else len(shown) for shown in texts]
    before = max(points, default=0)
    lines = [" " * (before - point) + shown if shown else "" for shown, point in zip(texts, points, strict=True)]
    longest = max(map(len, lines), default=0)
    return [line.ljust(longest) if line else "" for line in lines]


def tombstone(found: "Tombstone | Recall | None") -> str:
    """When, by whom and why something was taken out of use, or blocked."""
    return "" if found is None else f"{time(found.at)} by {found.by}: {found.reason}"


def signature(found: "Signature") -> dict[str, str]:
    """Inputs and outputs by name, with type and shape."""
    return {name: str(told) for name, told in described(found).items()}


def table(
    columns: Iterable[str], rows: Iterable[Sequence[Cell]], *, right: Iterable[str] = (), free: Iterable[str] = ()
) -> Table:
    """A table; columns in `right` are aligned to the right, only those in `free` may be broken into lines.

    An empty row begins a section.
    """
    shown = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False)
    to_the_right, breaking = set(right), {escape(name) for name in free}
    for name in columns:
        # Names of metrics are columns too.
        shown.add_column(text(name), justify="right" if name in to_the_right else "left")
    for row in rows:
        if row:
            shown.add_row(*(_cell(cell) for cell in row))
        else:
            shown.add_section()
    for column in shown.columns:
        if str(column.header) not in breaking:
            # Not `no_wrap`, which cuts what does not fit, nor a least width, under which rich goes when it makes room.
            column.width = max(cell.cell_len for cell in [Text(str(column.header)), *column.cells])  # type: ignore[union-attr]
    return shown


def fields(rows: Iterable[tuple[str, Cell]]) -> Table:
    """One object: the names of its fields and their values; empty ones are left out."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column()
    for name, cell in rows:
        if cell is not None and str(cell):
            shown.add_row(text(name), _cell(cell))
    return shown


def _cell(cell: Cell) -> Text:
    if isinstance(cell, Text):
        return cell
    return text("" if cell is None else cell)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    return console
