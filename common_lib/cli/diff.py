"""`registry diff`: two versions side by side."""

from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.table import Table
from rich.text import Text

from common_lib.cli import show
from common_lib.cli.session import Session, connected
from common_lib.cli.versions import selected

if TYPE_CHECKING:
    from common_lib.values import Manifest, ModelVersion

# Section by section, what each of the two versions has under a name.
Sides = dict[str, dict[str, tuple[Any, Any]]]


@click.command()
@click.argument("name")
@click.argument("left")
@click.argument("right")
@click.option("--all", "everything", is_flag=True, help="Show also what is equal.")
@connected
def diff(session: Session, *, name: str, left: str, right: str, everything: bool) -> None:
    """In what two versions of a model differ: parameters, metrics, signature, lineage and files.

    LEFT and RIGHT are numbers, stages, `latest` or `@alias`.
    """
    versions = [selected(session.registry, name, selector) for selector in (left, right)]
    manifests = [session.registry.versions.manifest(name, version.version) for version in versions]
    first, second = (_described(*pair) for pair in zip(versions, manifests, strict=True))
    sides = compared(first, second)
    equal = sum(a == b for section in sides.values() for a, b in section.values())
    if not everything:
        sides = {title: {k: v for k, v in section.items() if v[0] != v[1]} for title, section in sides.items()}
    document = {"model": name, "left": versions[0].version, "right": versions[1].version} | {
        title: {key: {"left": a, "right": b} for key, (a, b) in section.items()} for title, section in sides.items()
    }
    session.answer(document, lambda: _table(versions[0], versions[1], sides))
    if equal and not everything:
        session.note(f"{equal} more {'is' if equal == 1 else 'are'} equal; --all shows them")


def compared(left: dict[str, dict[str, Any]], right: dict[str, dict[str, Any]]) -> Sides:
    """What either has, in the order of the left one, and then of the right one; what one lacks is None.

    >>> compared({"metrics": {"a": 1}}, {"metrics": {"b": 2}})
    {'metrics': {'a': (1, None), 'b': (None, 2)}}
    """
    return {
        title: {key: (left[title].get(key), right[title].get(key)) for key in {**left[title], **right[title]}}
        for title in left
    }


def _described(version: "ModelVersion", manifest: "Manifest") -> dict[str, dict[str, Any]]:
    return {
        "about": {"stage": str(version.stage), "framework": version.framework, "bytes": version.size},
        "parameters": dict(version.parameters),
        "metrics": dict(version.metrics),
        "signature": show.signature(version.signature) if version.signature else {},
        "lineage": version.lineage.model_dump(exclude_none=True) if version.lineage else {},
        "files": {entry.path: {"sha256": entry.sha256, "size": entry.size} for entry in manifest.files},
    }


def _table(left: "ModelVersion", right: "ModelVersion", sides: Sides) -> Table:
    columns = ("", *(f"{version.model} {version.version}" for version in (left, right)), "change")
    rows: list[tuple[show.Cell, ...]] = []
    for title, section in sides.items():
        if not section:
            continue
        lefts, rights = (_column([pair[side] for pair in section.values()]) for side in (0, 1))
        rows += [(), (Text(title, "bold underline"), "", "", "")]
        for row, (key, (a, b)) in enumerate(section.items()):
            style = "dim" if a == b else ""
            rows.append(
                (show.text(key, style), show.text(lefts[row], style), show.text(rights[row], style), _change(a, b))
            )
    return show.table(columns, rows, right=("change",), free=columns[1:3])


def _column(values: list[Any]) -> list[str]:
    numbers = show.aligned([value if _is_number(value) else None for value in values])
    return [numbers[row] if _is_number(value) else _shown(value) for row, value in enumerate(values)]


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, dict):
        return f"{value['sha256'][:12]}… {show.count(value['size'], 'byte')}"
    return value if isinstance(value, str) else show.pairs({"": value}).removeprefix("=")


def _change(left: Any, right: Any) -> Text:
    if left == right:
        return Text("")
    if left is None:
        return Text("new", "green")
    if right is None:
        return Text("gone", "red")
    if _is_number(left) and _is_number(right):
        more = show.number(right - left)
        return Text(more if more.startswith("-") else f"+{more}", "yellow")
    return Text("changed", "yellow")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
