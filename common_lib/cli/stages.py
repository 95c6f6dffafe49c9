"""`registry stages`."""

import rich_click as click

from common_lib.cli import show
from common_lib.cli.models import STAGES
from common_lib.cli.session import Session, connected
from common_lib.cli.values import based_on, change_options
from common_lib.rules.lifecycle import ModelStage


@click.group()
def stages() -> None:
    """The way of a version: development, staging, production, archived."""


@stages.command("set")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.argument("stage", type=STAGES, metavar="STAGE")
@click.option("--reason", default="", help="Why; promoting to production and archiving need it. Kept in the audit log.")
@change_options
@connected
def set_stage(
    session: Session, *, name: str, version: int, stage: str, reason: str, revision: int | None, force: bool
) -> None:
    """Move a version to another stage: development, staging, production or archived.

    One that it replaces in production is archived in the same instant.
    """
    registry = session.registry
    before = registry.versions.get(name, version)
    replaced = registry.models.get(name).production_version if stage == ModelStage.PRODUCTION else None
    after = registry.versions.transition(
        name, version, stage, reason=reason, replacing=replaced, **based_on(revision, force, lambda: before)
    )
    moved = show.text(f"{after.reference}: ").append_text(show.stage(before.stage)).append(" → ")
    moved.append_text(show.stage(after.stage))
    if replaced not in {None, version}:
        moved.append(f" (version {replaced} was archived)")
    session.answer(after, lambda: moved)
