"""`registry models`."""

import copy
import itertools
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.table import Table
from rich.text import Text

from common_lib.cli import show
from common_lib.cli.session import Session, connected
from common_lib.cli.values import (
    based_on,
    change_options,
    edit_options,
    merged,
    moment,
    pairs_option,
    reason_option,
    scalar,
)
from common_lib.rules.lifecycle import ModelStage, ModelType

if TYPE_CHECKING:
    from common_lib.types.models import RegisteredModel

TYPES = click.Choice([str(kind) for kind in ModelType])
STAGES = click.Choice([str(stage) for stage in ModelStage])
_PAGE = 1000
# The names as people read them, where a list within the table of options would be cut.
TYPE_NAMES = "classification, regression, forecasting, reinforcement, anomaly_detection or time_series"
STAGE_NAMES = "development, staging, production or archived"


@click.group()
def models() -> None:
    """Registered models: the names under which versions live."""


@models.command("list")
@click.option("--type", type=TYPES, metavar="TYPE", help=f"Only models of this type: {TYPE_NAMES}.")
@click.option("--stage", type=STAGES, metavar="STAGE", help=f"Only models with a version in this stage: {STAGE_NAMES}.")
@pairs_option("--tag", help="Only models with this tag; may be repeated.")
@click.option("--owner", help="Only models of this owner.")
@click.option("--prefix", help="Only models whose name begins so.")
@click.option("--created-from", type=moment, metavar="TIME", help="Only models created at this time (UTC) or later.")
@click.option("--created-before", type=moment, metavar="TIME", help="Only models created before this time (UTC).")
@click.option("--tombstoned", is_flag=True, help="Also models that were taken out of use.")
@click.option(
    "--order",
    type=click.Choice(["name", "-name", "created_at", "-created_at"]),
    metavar="FIELD",
    default="name",
    show_default=True,
    help="Sort by name or created_at; -name and -created_at sort down.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many; without it, all.")
@connected
def list_models(session: Session, *, tag: dict[str, str], limit: int | None, **conditions: Any) -> None:
    """The models that fulfil all conditions."""
    search = session.registry.models.search(tags=tag, page_size=min(limit or _PAGE, _PAGE), **conditions)
    found = list(itertools.islice(search, limit))
    session.answer(found, lambda: _table(found))


# A command of its own: help shows a command by its own name, whatever name it was added by.
search = copy.copy(list_models)
search.name = "search"
models.add_command(search)


@models.command("show")
@click.argument("name")
@connected
def show_model(session: Session, name: str) -> None:
    """One model with all its fields."""
    model = session.registry.models.get(name)
    session.answer(model, lambda: _fields(model))


@models.command()
@click.argument("name")
@click.option("--type", type=TYPES, metavar="TYPE", required=True, help=f"What it answers: {TYPE_NAMES}.")
@click.option("--owner", help="Who answers for it; without it, you.")
@click.option("--description", help="What it is for.")
@pairs_option("--tag", help="A tag; may be repeated.")
@pairs_option("--metadata", read=scalar, help="A fact about it, a JSON scalar or a text; may be repeated.")
@connected
def create(session: Session, *, name: str, type: str, tag: dict[str, str], **given: Any) -> None:
    """A new model; its name is never given again."""
    model = session.registry.models.create(name, type, tags=tag, **given)
    session.answer(model, lambda: _fields(model))


@models.command()
@click.argument("name")
@click.option("--owner", help="Another owner.")
@edit_options
@pairs_option("--metadata", read=scalar, help="A fact to add or to replace; may be repeated.")
@click.option("--remove-metadata", multiple=True, metavar="NAME", help="A fact to remove; may be repeated.")
@reason_option
@change_options
@connected
def update(
    session: Session,
    *,
    name: str,
    tag: dict[str, str],
    remove_tag: tuple[str, ...],
    metadata: dict[str, Any],
    remove_metadata: tuple[str, ...],
    revision: int | None,
    force: bool,
    **given: Any,
) -> None:
    """The model with other fields; what is not named stays."""
    before = session.registry.models.get(name)
    after = session.registry.models.update(
        name,
        tags=merged(before.tags, tag, remove_tag),
        metadata=merged(before.metadata, metadata, remove_metadata),
        **given,
        **based_on(revision, force, lambda: before),
    )
    session.answer(after, lambda: _fields(after))


@models.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; kept in the audit log.")
@change_options
@connected
def tombstone(session: Session, *, name: str, reason: str, revision: int | None, force: bool) -> None:
    """Take a model out of use, for good; its versions are not resolved any more."""
    registry = session.registry
    model = registry.models.tombstone(
        name, reason=reason, **based_on(revision, force, lambda: registry.models.get(name))
    )
    session.answer(model, lambda: _fields(model))


def _table(found: "list[RegisteredModel]") -> Table:
    columns = ("name", "type", "owner", "versions", "production", "created", "tags")
    rows = [
        (
            show.text(model.name, "dim strike" if model.tombstone else "bold"),
            str(model.type),
            model.owner,
            str(model.latest_version),
            _in_production(model),
            show.time(model.created_at),
            show.pairs(model.tags),
        )
        for model in found
    ]
    return show.table(columns, rows, right=("versions", "production"), free=("tags",))


def _in_production(model: "RegisteredModel") -> Text:
    if model.tombstone:
        return show.text("tombstoned", "dim")
    return show.text(model.production_version or "–", "bold green" if model.production_version else "dim")


def _fields(model: "RegisteredModel") -> Table:
    return show.fields(
        [
            ("name", show.text(model.name, "bold")),
            ("type", str(model.type)),
            ("owner", model.owner),
            ("description", model.description),
            ("tags", show.pairs(model.tags)),
            ("metadata", show.pairs(model.metadata)),
            ("versions", str(model.latest_version)),
            ("production", show.text(model.production_version, "bold green") if model.production_version else "none"),
            ("created", f"{show.time(model.created_at)} by {model.created_by}"),
            ("updated", show.time(model.updated_at)),
            ("revision", str(model.revision)),
            ("tombstoned", show.tombstone(model.tombstone)),
        ]
    )
