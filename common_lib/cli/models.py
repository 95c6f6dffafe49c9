"""The command group `registry models`, which lists, shows, creates and changes models."""

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.table import Table
from rich.text import Text

from common_lib.cli import options, show
from common_lib.cli.session import Session, with_session
from common_lib.rules.lifecycle import ModelStage, ModelType

if TYPE_CHECKING:
    from common_lib.types.models import RegisteredModel

TYPES = click.Choice([str(kind) for kind in ModelType])
STAGES = click.Choice([str(stage) for stage in ModelStage])
# In help texts, because rich-click cuts a long list of choices.
TYPE_NAMES = "classification, regression, forecasting, reinforcement, anomaly_detection or time_series"
STAGE_NAMES = "development, staging, production or archived"


@click.group()
def models() -> None:
    """Manage registered models."""


@models.command("list")
@click.option("--type", type=TYPES, metavar="TYPE", help=f"Show only models of this type: {TYPE_NAMES}.")
@click.option(
    "--stage", type=STAGES, metavar="STAGE", help=f"Show only models with a version in this stage: {STAGE_NAMES}."
)
@options.pairs_option("--tag", help="Show only models with this tag; may be repeated.")
@click.option("--owner", help="Show only models of this owner.")
@click.option("--prefix", help="Show only models whose name begins with this text.")
@click.option(
    "--created-from", type=options.parse_time, metavar="TIME", help="Show only models created from TIME (UTC) on."
)
@click.option(
    "--created-before", type=options.parse_time, metavar="TIME", help="Show only models created before TIME (UTC)."
)
@click.option("--tombstoned", is_flag=True, help="Show tombstoned models too.")
@click.option(
    "--order",
    type=click.Choice(["name", "-name", "created_at", "-created_at"]),
    metavar="FIELD",
    default="name",
    show_default=True,
    help="Sort by name or created_at; a leading minus, such as -name, reverses the order.",
)
@options.limit_option
@with_session
def list_models(session: Session, *, tag: dict[str, str], limit: int | None, **conditions: Any) -> None:
    """List the models that meet all conditions."""
    found = options.take(limit, partial(session.registry.models.search, tags=tag, **conditions))
    session.output(found, lambda: _table(found))


# A copy with its own name, because help shows a command's own name and not the one it was added under.
search = copy.copy(list_models)
search.name = "search"
models.add_command(search)


@models.command("show")
@click.argument("name")
@with_session
def show_model(session: Session, name: str) -> None:
    """Show one model with all its fields."""
    model = session.registry.models.get(name)
    session.output(model, lambda: _fields(model))


@models.command()
@click.argument("name")
@click.option("--type", type=TYPES, metavar="TYPE", required=True, help=f"Type of the model: {TYPE_NAMES}.")
@click.option("--owner", help="The owner. Default: you.")
@click.option("--description", help="The purpose of the model.")
@options.pairs_option("--tag", help="A tag; may be repeated.")
@options.pairs_option(
    "--metadata", parse=options.parse_scalar, help="A metadata value: a JSON scalar or a text; may be repeated."
)
@with_session
def create(session: Session, *, name: str, type: str, tag: dict[str, str], **values: Any) -> None:
    """Create a model. Its name can never be used again, even if the model is tombstoned."""
    model = session.registry.models.create(name, type, tags=tag, **values)
    session.output(model, lambda: _fields(model))


@models.command()
@click.argument("name")
@click.option("--owner", help="The new owner.")
@options.edit_options
@options.pairs_option(
    "--metadata", parse=options.parse_scalar, help="A metadata value to add or to replace; may be repeated."
)
@click.option("--remove-metadata", multiple=True, metavar="NAME", help="A metadata value to remove; may be repeated.")
@options.reason_option
@options.change_options
@with_session
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
    **values: Any,
) -> None:
    """Change fields of a model. Fields without an option are not changed."""
    before = session.registry.models.get(name)
    after = session.registry.models.update(
        name,
        tags=options.edit_mapping(before.tags, tag, remove_tag),
        metadata=options.edit_mapping(before.metadata, metadata, remove_metadata),
        **values,
        **options.precondition(revision, force, lambda: before),
    )
    session.output(after, lambda: _fields(after))


@models.command()
@click.argument("name")
@options.required_reason_option
@options.change_options
@with_session
def tombstone(session: Session, *, name: str, reason: str, revision: int | None, force: bool) -> None:
    """Remove a model permanently from use: none of its versions can be resolved."""
    registry = session.registry.models
    model = registry.tombstone(name, reason=reason, **options.precondition(revision, force, lambda: registry.get(name)))
    session.output(model, lambda: _fields(model))


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
