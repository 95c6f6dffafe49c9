"""Format and print the output of commands, as tables and text for people or as JSON for scripts."""

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
from common_lib.rules.comparison import describe_signature

if TYPE_CHECKING:
    from common_lib.types.base import Tombstone
    from common_lib.types.versions import Recall, Signature

# In a pipe or a file, lines of any length are neither wrapped nor cut.
_UNBOUNDED = 100_000
_STAGES = {"development": "cyan", "staging": "yellow", "production": "bold green", "archived": "dim"}
Cell = Text | str | int | None


def stdout() -> Console:
    """Return the console for results."""
    return _console(stderr=False)


def stderr() -> Console:
    """Return the console for messages, warnings and errors."""
    return _console(stderr=True)


def write(renderable: RenderableType) -> None:
    """Write to standard output; lines wider than the terminal are wrapped, never cut."""
    console = stdout()
    narrowest = Measurement.get(console, console.options.update(max_width=_UNBOUNDED), renderable).minimum
    # Rich ignores a width without a height on a dumb terminal.
    console.size = ConsoleDimensions(max(console.width, narrowest), console.height)
    console.print(renderable)


def write_json(value: Any) -> None:
    """Write one JSON document to standard output."""
    click.echo(to_json(value, indent=2))


def to_json(value: Any, indent: int | None = None) -> str:
    """Return the value as a JSON document in which invisible characters are escaped."""
    return escape_json(json.dumps(value, indent=indent, ensure_ascii=False, default=str))


def text(value: object, style: str = "") -> Text:
    """Return a text as one line in which characters that could mislead a reader, such as controls, are escaped."""
    return Text(escape(str(value)), style)


def time(moment: datetime) -> str:
    """Format a time in UTC, to the second.

    >>> time(datetime(2026, 3, 1, 9, 15, tzinfo=UTC))
    '2026-03-01 09:15:00Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def stage(value: str) -> Text:
    """Return the name of a stage in the colour of that stage."""
    return text(value, _STAGES.get(str(value), ""))


def number(value: float) -> str:
    """Format a number: a float with six significant digits, an integer exactly.

    >>> number(0.5123456789), number(200_000_000)
    ('0.512346', '200,000,000')
    """
    return integer(value) if isinstance(value, int) else f"{value:.6g}"


def integer(value: int) -> str:
    """Format an integer with thousands separators.

    >>> integer(1234567)
    '1,234,567'
    """
    return f"{value:,}"


def count(number: int, thing: str) -> str:
    """Format a number with a noun; the noun is in the plural unless the number is 1.

    >>> count(1, "file"), count(1234, "byte")
    ('1 file', '1,234 bytes')
    """
    return f"{integer(number)} {thing}{'' if number == 1 else 's'}"


def pairs(mapping: dict[str, Any]) -> str:
    """Format a mapping as name=value pairs on one line."""
    return " ".join(f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in mapping.items())


def align(numbers: Sequence[float | None]) -> list[str]:
    """Format the numbers of a column with their decimal points aligned.

    >>> align([0.5, 12, None])
    [' 0.5', '12  ', '']
    """
    texts = ["" if value is None else number(value) for value in numbers]
    points = [each.find(".") if "." in each else len(each) for each in texts]
    before = max(points, default=0)
    lines = [" " * (before - point) + each if each else "" for each, point in zip(texts, points, strict=True)]
    longest = max(map(len, lines), default=0)
    return [line.ljust(longest) if line else "" for line in lines]


def tombstone(found: "Tombstone | Recall | None") -> str:
    """Format the time, the principal and the reason of a tombstone or recall."""
    return "" if found is None else f"{time(found.at)} by {found.by}: {found.reason}"


def signature(found: "Signature") -> dict[str, str]:
    """Return the type and shape of each input and output, by name."""
    return {name: str(description) for name, description in describe_signature(found.model_dump()).items()}


def table(
    columns: Iterable[str], rows: Iterable[Sequence[Cell]], *, right: Iterable[str] = (), free: Iterable[str] = ()
) -> Table:
    """Return a table. Columns in `right` are aligned to the right; only columns in `free` can wrap to several lines.

    An empty row starts a section.
    """
    result = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False)
    right_names, free_names = set(right), {escape(name) for name in free}
    for name in columns:
        # Escaped, because names of metrics are columns too.
        result.add_column(text(name), justify="right" if name in right_names else "left")
    for row in rows:
        if row:
            result.add_row(*(_cell(cell) for cell in row))
        else:
            result.add_section()
    for column in result.columns:
        if str(column.header) not in free_names:
            # `no_wrap` would cut what does not fit, and rich shrinks a column below its `min_width`.
            column.width = max(cell.cell_len for cell in [Text(str(column.header)), *column.cells])  # type: ignore[union-attr]
    return result


def fields(rows: Iterable[tuple[str, Cell]]) -> Table:
    """Return a table with one row for each name and its value, without the rows whose value is empty."""
    result = Table.grid(padding=(0, 2))
    result.add_column(style="bold", no_wrap=True)
    result.add_column()
    for name, cell in rows:
        if cell is not None and str(cell):
            result.add_row(text(name), _cell(cell))
    return result


def _cell(cell: Cell) -> Text:
    if isinstance(cell, Text):
        return cell
    return text("" if cell is None else cell)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    return console
