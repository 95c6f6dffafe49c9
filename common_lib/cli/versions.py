"""`registry versions`."""

import itertools
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from common_lib.cli import show
from common_lib.cli.models import STAGE_NAMES, STAGES
from common_lib.cli.paths import PathType
from common_lib.cli.session import Session, connected
from common_lib.cli.values import (
    based_on,
    change_options,
    edit_options,
    finite,
    merged,
    pairs_option,
    reason_option,
    scalar,
)

if TYPE_CHECKING:
    from common_lib.client.http_registry import HttpRegistry
    from common_lib.types.artifacts import Manifest
    from common_lib.types.versions import ModelVersion, Signature

_PAGE = 1000
_METRICS = 4


@click.group()
def versions() -> None:
    """Versions of a model: immutable files with what is known about them."""


@versions.command("list")
@click.argument("name")
@click.option("--stage", type=STAGES, metavar="STAGE", help=f"Only versions in this stage: {STAGE_NAMES}.")
@click.option("--tombstoned", is_flag=True, help="Also versions that were taken out of use.")
@click.option(
    "--order",
    type=click.Choice(["version", "-version"]),
    default="-version",
    show_default=True,
    help="The oldest or the newest first.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many; without it, all.")
@connected
def list_versions(session: Session, *, name: str, limit: int | None, **conditions: Any) -> None:
    """The versions of a model, the newest first."""
    search = session.registry.versions.search(name, page_size=min(limit or _PAGE, _PAGE), **conditions)
    found = list(itertools.islice(search, limit))
    session.answer(found, lambda: _table(found))


@versions.command("show")
@click.argument("name")
@click.argument("version")
@connected
def show_version(session: Session, *, name: str, version: str) -> None:
    """One version with all that is known about it.

    VERSION is a number, a stage, `latest` or `@alias`.
    """
    found = selected(session.registry, name, version)
    manifest = session.registry.versions.manifest(found.model, found.version)
    value = found.model_dump(mode="json") | {"files": [entry.model_dump(mode="json") for entry in manifest.files]}
    session.answer(value, lambda: _whole(found, manifest))


@versions.command()
@click.argument("name")
@click.argument("path", type=PathType(exists=True))
@click.option("--framework", required=True, help="What reads the files, such as scikit-learn or onnx.")
@pairs_option("--metric", read=finite, help="A final metric; may be repeated.")
@pairs_option("--param", read=scalar, help="A parameter, a JSON scalar or a text; may be repeated.")
@pairs_option("--tag", help="A tag; may be repeated.")
@click.option("--description", help="What is special about it.")
@click.option(
    "--signature",
    type=PathType(exists=True, dir_okay=False),
    metavar="FILE",
    help='What it takes and gives, as JSON: {"inputs": [{"name": …, "dtype": …, "shape": […]}], "outputs": […]}.',
)
@click.option("--run", help="The training run it comes from.")
@click.option("--code-commit", help="The commit of the code that trained it.")
@click.option("--data-digest", help="The digest of the data it was trained on.")
@click.option("--parent", metavar="REFERENCE", help="The version it was derived from.")
@connected
def register(
    session: Session,
    *,
    name: str,
    path: Path,
    metric: dict[str, float],
    param: dict[str, Any],
    tag: dict[str, str],
    signature: Path | None,
    framework: str,
    description: str | None,
    **lineage: str | None,
) -> None:
    """Upload a file or a folder as the next version; bytes that are there already are not sent again.

    After a cut the same command goes on where it ended.
    """
    from common_lib.types.versions import Lineage  # noqa: PLC0415 - pydantic is for those who need it

    with session.transfer(f"Hashing and sending {path.name}") as progress:
        version = session.registry.register(
            name,
            path,
            framework=framework,
            description=description,
            parameters=param,
            metrics=metric,
            tags=tag,
            signature=None if signature is None else _signature(signature),
            lineage=Lineage(**lineage) if any(lineage.values()) else None,
            progress=progress,
        )
    session.answer(version, lambda: _fields(version))


@versions.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@edit_options
@reason_option
@change_options
@connected
def update(
    session: Session,
    *,
    name: str,
    version: int,
    tag: dict[str, str],
    remove_tag: tuple[str, ...],
    description: str | None,
    reason: str,
    revision: int | None,
    force: bool,
) -> None:
    """The version with another description or other tags; what is not named stays, all else is immutable."""
    registry = session.registry.versions
    before = registry.get(name, version)
    tags = merged(before.tags, tag, remove_tag)
    basis = based_on(revision, force, lambda: before)
    after = registry.update(name, version, tags=tags, description=description, reason=reason, **basis)
    session.answer(after, lambda: _fields(after))


@versions.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--reason", required=True, help="Why; kept in the audit log.")
@change_options
@connected
def tombstone(session: Session, *, name: str, version: int, reason: str, revision: int | None, force: bool) -> None:
    """Take a version out of use, for good; its number is never given again."""
    registry = session.registry
    after = registry.versions.tombstone(
        name, version, reason=reason, **based_on(revision, force, lambda: registry.versions.get(name, version))
    )
    session.answer(after, lambda: _fields(after))


def selected(registry: "HttpRegistry", name: str, selector: str) -> "ModelVersion":
    """The version that a number, a stage, `latest` or `@alias` means."""
    if selector.isdecimal():
        return registry.versions.get(name, int(selector))
    return registry.resolve(f"models:/{name}{'' if selector.startswith('@') else '/'}{selector}")


def _signature(file: Path) -> "Signature":
    from common_lib.types.versions import Signature  # noqa: PLC0415 - see above

    try:
        return Signature.model_validate_json(file.read_bytes())
    except ValueError as error:
        first = str(error).splitlines()
        raise click.UsageError(f"{file} is no signature: {' '.join(line.strip() for line in first[1:3])}") from None


def _table(found: "list[ModelVersion]") -> Table:
    # What most versions measured gets columns of its own; `show` has the rest.
    frequent = sorted(
        name for name, _ in Counter(m for version in found for m in version.metrics).most_common(_METRICS)
    )
    measured = {name: show.aligned([version.metrics.get(name) for version in found]) for name in frequent}
    columns = ("version", "stage", "framework", *frequent, "files", "bytes", "created", "by")
    rows: list[tuple[show.Cell, ...]] = [
        (
            show.text(version.version, "dim strike" if version.tombstone else "bold"),
            show.text("tombstoned", "dim") if version.tombstone else _stage(version),
            version.framework,
            *(measured[name][row] for name in frequent),
            str(version.file_count),
            show.whole(version.size),
            show.time(version.created_at),
            version.created_by,
        )
        for row, version in enumerate(found)
    ]
    return show.table(columns, rows, right=("version", *frequent, "files", "bytes"))


def _fields(version: "ModelVersion") -> Table:
    return show.fields(
        [
            ("reference", show.text(version.reference, "bold")),
            ("stage", _stage(version)),
            ("framework", version.framework),
            ("description", version.description),
            ("tags", show.pairs(version.tags)),
            ("digest", version.digest),
            ("content", f"{show.count(version.file_count, 'file')}, {show.count(version.size, 'byte')}"),
            ("created", f"{show.time(version.created_at)} by {version.created_by}"),
            ("updated", show.time(version.updated_at)),
            ("revision", str(version.revision)),
            ("tombstoned", show.tombstone(version.tombstone)),
            ("recalled", show.text(show.tombstone(version.recall), "bold red")),
        ]
    )


def _whole(version: "ModelVersion", manifest: "Manifest") -> Group:
    files = [(entry.path, show.whole(entry.size), entry.sha256, entry.media_type) for entry in manifest.files]
    parts: list[tuple[str, Table]] = []
    if version.parameters:
        rows = [(key, show.pairs({"": value}).removeprefix("=")) for key, value in version.parameters.items()]
        parts.append(("parameters", show.fields(rows)))
    if version.metrics:
        parts.append(
            ("metrics", show.fields(zip(version.metrics, show.aligned(list(version.metrics.values())), strict=True)))
        )
    if version.signature:
        parts.append(("signature", show.fields(show.signature(version.signature).items())))
    if version.lineage:
        parts.append(("lineage", show.fields(version.lineage.model_dump(exclude_none=True).items())))
    parts.append(("files", show.table(("path", "bytes", "sha256", "media type"), files, right=("bytes",))))
    return Group(
        _fields(version), *(part for title, shown in parts for part in (Text(f"\n{title}", "bold underline"), shown))
    )


def _stage(version: "ModelVersion") -> "Text":
    shown = show.stage(version.stage)
    return shown if version.recall is None else shown.append(" (recalled)", "bold red")
