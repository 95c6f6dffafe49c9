"""The command group `registry versions`, which lists, shows, registers and changes versions."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from common_lib.cli import options, show
from common_lib.cli.models import STAGE_NAMES, STAGES
from common_lib.cli.paths import PathType
from common_lib.cli.session import Session, with_session

if TYPE_CHECKING:
    from common_lib.client.http_registry import HttpRegistry
    from common_lib.types.artifacts import Manifest
    from common_lib.types.versions import ModelVersion, Signature

_METRICS = 4


@click.group()
def versions() -> None:
    """Manage the versions of a model. A version consists of immutable files and metadata."""


@versions.command("list")
@click.argument("name")
@click.option("--stage", type=STAGES, metavar="STAGE", help=f"Show only versions in this stage: {STAGE_NAMES}.")
@click.option("--tombstoned", is_flag=True, help="Show tombstoned versions too.")
@click.option(
    "--order",
    type=click.Choice(["version", "-version"]),
    default="-version",
    show_default=True,
    help="Sort by version number; with -version the newest version is first.",
)
@options.limit_option
@with_session
def list_versions(session: Session, *, name: str, limit: int | None, **conditions: Any) -> None:
    """List the versions of a model."""
    found = options.take(limit, partial(session.registry.versions.search, name, **conditions))
    session.output(found, lambda: _table(found))


@versions.command("show")
@click.argument("name")
@click.argument("version")
@with_session
def show_version(session: Session, *, name: str, version: str) -> None:
    """Show one version with all its metadata and files.

    VERSION is a number, a stage, `latest` or `@alias`.
    """
    found = resolve_selector(session.registry, name, version)
    manifest = session.registry.versions.manifest(found.model, found.version)
    value = found.model_dump(mode="json") | {"files": [entry.model_dump(mode="json") for entry in manifest.files]}
    session.output(value, lambda: _details(found, manifest))


@versions.command()
@click.argument("name")
@click.argument("path", type=PathType(exists=True))
@click.option("--framework", required=True, help="The library that loads the files, such as scikit-learn or onnx.")
@options.pairs_option("--metric", parse=options.parse_finite, help="A final metric; may be repeated.")
@options.pairs_option(
    "--param", parse=options.parse_scalar, help="A training parameter: a JSON scalar or a text; may be repeated."
)
@options.pairs_option("--tag", help="A tag; may be repeated.")
@click.option("--description", help="What is new or special in this version.")
@click.option(
    "--signature",
    type=PathType(exists=True, dir_okay=False),
    metavar="FILE",
    help='Inputs and outputs in a JSON file: {"inputs": [{"name": …, "dtype": …, "shape": […]}], "outputs": […]}.',
)
@click.option("--run", help="The training run that produced the version.")
@click.option("--code-commit", help="The commit of the training code.")
@click.option("--data-digest", help="The digest of the training data.")
@click.option("--parent", metavar="REFERENCE", help="The version from which this version is derived.")
@with_session
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
    """Upload a file or folder as the next version of a model. Bytes that the registry already has are not sent.

    After an interruption, run the same command again: it continues the upload.
    """
    from common_lib.types.versions import Lineage  # noqa: PLC0415 - imports pydantic, which is slow

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
    session.output(version, lambda: _fields(version))


@versions.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@options.edit_options
@options.reason_option
@options.change_options
@with_session
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
    """Change the description or tags of a version. Its files and other metadata cannot be changed."""
    registry = session.registry.versions
    before = registry.get(name, version)
    tags = options.edit_mapping(before.tags, tag, remove_tag)
    basis = options.precondition(revision, force, lambda: before)
    after = registry.update(name, version, tags=tags, description=description, reason=reason, **basis)
    session.output(after, lambda: _fields(after))


@versions.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@options.required_reason_option
@options.change_options
@with_session
def tombstone(session: Session, *, name: str, version: int, reason: str, revision: int | None, force: bool) -> None:
    """Remove a version permanently from use. Its number is never used again."""
    registry = session.registry.versions
    basis = options.precondition(revision, force, lambda: registry.get(name, version))
    after = registry.tombstone(name, version, reason=reason, **basis)
    session.output(after, lambda: _fields(after))


def resolve_selector(registry: "HttpRegistry", name: str, selector: str) -> "ModelVersion":
    """Return the version that `selector` refers to: a number, a stage, `latest` or `@alias`."""
    if selector.isdecimal():
        return registry.versions.get(name, int(selector))
    return registry.resolve(f"models:/{name}{'' if selector.startswith('@') else '/'}{selector}")


def _signature(file: Path) -> "Signature":
    from common_lib.types.versions import Signature  # noqa: PLC0415 - see above

    try:
        return Signature.model_validate_json(file.read_bytes())
    except ValueError as error:
        first = str(error).splitlines()
        raise click.UsageError(
            f"{file} does not contain a signature: {' '.join(line.strip() for line in first[1:3])}"
        ) from None


def _table(found: "list[ModelVersion]") -> Table:
    # Columns only for the most frequent metrics; `versions show` prints all.
    frequent = sorted(
        name for name, _ in Counter(m for version in found for m in version.metrics).most_common(_METRICS)
    )
    measured = {name: show.align([version.metrics.get(name) for version in found]) for name in frequent}
    columns = ("version", "stage", "framework", *frequent, "files", "bytes", "created", "by")
    rows: list[tuple[show.Cell, ...]] = [
        (
            show.text(version.version, "dim strike" if version.tombstone else "bold"),
            show.text("tombstoned", "dim") if version.tombstone else _stage(version),
            version.framework,
            *(measured[name][row] for name in frequent),
            str(version.file_count),
            show.integer(version.size),
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


def _details(version: "ModelVersion", manifest: "Manifest") -> Group:
    files = [(entry.path, show.integer(entry.size), entry.sha256, entry.media_type) for entry in manifest.files]
    parts: list[tuple[str, Table]] = []
    if version.parameters:
        rows = [(key, show.pairs({"": value}).removeprefix("=")) for key, value in version.parameters.items()]
        parts.append(("parameters", show.fields(rows)))
    if version.metrics:
        parts.append(
            ("metrics", show.fields(zip(version.metrics, show.align(list(version.metrics.values())), strict=True)))
        )
    if version.signature:
        parts.append(("signature", show.fields(show.signature(version.signature).items())))
    if version.lineage:
        parts.append(("lineage", show.fields(version.lineage.model_dump(exclude_none=True).items())))
    parts.append(("files", show.table(("path", "bytes", "sha256", "media type"), files, right=("bytes",))))
    return Group(
        _fields(version), *(part for title, table in parts for part in (Text(f"\n{title}", "bold underline"), table))
    )


def _stage(version: "ModelVersion") -> "Text":
    stage = show.stage(version.stage)
    return stage if version.recall is None else stage.append(" (recalled)", "bold red")
