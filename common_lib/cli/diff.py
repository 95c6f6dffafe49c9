"""The command `registry diff`, which shows two versions side by side."""

from itertools import groupby
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.table import Table
from rich.text import Text

from common_lib.cli import show
from common_lib.cli.session import Session, with_session
from common_lib.cli.versions import resolve_selector
from common_lib.rules.comparison import Change, Part

if TYPE_CHECKING:
    from common_lib.rules.comparison import Difference, VersionDiff

_STYLES = {Change.EQUAL: "dim", Change.NEW: "green", Change.GONE: "red", Change.CHANGED: "yellow"}


@click.command()
@click.argument("name")
@click.argument("left")
@click.argument("right")
@click.option("--all", "everything", is_flag=True, help="Show equal values too.")
@with_session
def diff(session: Session, *, name: str, left: str, right: str, everything: bool) -> None:
    """Compare two versions of a model: parameters, metrics, signature, lineage and files.

    LEFT and RIGHT are numbers, stages, `latest` or `@alias`.
    """
    numbers = [_number(session, name, selector) for selector in (left, right)]
    found = session.registry.versions.diff(name, *numbers)
    visible = [each for each in found.items if everything or each.change is not Change.EQUAL]
    session.output(_document(found, visible), lambda: _table(found, visible))
    if hidden := len(found.items) - len(visible):
        session.note(f"{hidden} more {'is' if hidden == 1 else 'are'} equal; --all shows them")


def _number(session: Session, name: str, selector: str) -> int:
    return int(selector) if selector.isdecimal() else resolve_selector(session.registry, name, selector).version


def _document(found: "VersionDiff", visible: "list[Difference]") -> dict[str, Any]:
    parts: dict[str, Any] = {str(part): {} for part in Part}
    for each in visible:
        parts[each.part][each.name] = {"left": each.left, "right": each.right}
    return {"model": found.model, "left": found.left, "right": found.right, **parts}


def _table(found: "VersionDiff", visible: "list[Difference]") -> Table:
    columns = ("", *(f"{found.model} {number}" for number in (found.left, found.right)), "change")
    rows: list[tuple[show.Cell, ...]] = []
    for part, of_part in groupby(visible, key=lambda each: each.part):
        section = list(of_part)
        lefts = _column(part, [(each.left, each.change is Change.NEW) for each in section])
        rights = _column(part, [(each.right, each.change is Change.GONE) for each in section])
        rows += [(), (Text(part, "bold underline"), "", "", "")]
        for each, left, right in zip(section, lefts, rights, strict=True):
            style = "dim" if each.change is Change.EQUAL else ""
            rows.append((show.text(each.name, style), show.text(left, style), show.text(right, style), _change(each)))
    return show.table(columns, rows, right=("change",), free=columns[1:3])


def _column(part: Part, values: list[tuple[Any, bool]]) -> list[str]:
    numbers = show.align([value if _is_number(value) else None for value, _ in values])
    return [
        "–" if absent else numbers[row] if _is_number(value) else _format_value(part, value)
        for row, (value, absent) in enumerate(values)
    ]


def _format_value(part: Part, value: Any) -> str:
    if part is Part.FILES:
        digest, _, size = str(value).partition(" ")
        return f"{digest.removeprefix('sha256:')[:12]}… {show.count(int(size), 'byte')}"
    return value if isinstance(value, str) else show.pairs({"": value}).removeprefix("=")


def _change(each: "Difference") -> Text:
    if each.change is Change.CHANGED and _is_number(each.left) and _is_number(each.right):
        more = show.number(each.right - each.left)  # type: ignore[operator]
        return Text(more if more.startswith("-") else f"+{more}", _STYLES[each.change])
    return show.text("" if each.change is Change.EQUAL else each.change, _STYLES[each.change])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
