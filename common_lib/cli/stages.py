"""`registry stages`."""

import rich_click as click

from common_lib.cli import show
from common_lib.cli.session import Session, connected
from common_lib.cli.values import based_on, change_options
from common_lib.rules.lifecycle import ModelStage

# Where a version can be moved to that is no decision about production; none moves back to development.
_STAGES = click.Choice([str(ModelStage.STAGING), str(ModelStage.ARCHIVED)])


@click.group()
def stages() -> None:
    """The way of a version: development, staging, production, archived."""


@stages.command("set")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.argument("stage", type=_STAGES, metavar="STAGE")
@click.option("--reason", default="", help="Why; archiving and --force need it. Kept in the audit log.")
@change_options
@connected
def set_stage(
    session: Session, *, name: str, version: int, stage: str, reason: str, revision: int | None, force: bool
) -> None:
    """Move a version to staging or archived; `registry promote` and `registry rollback` lead to production."""
    registry = session.registry.versions
    before = registry.get(name, version)
    after = registry.transition(name, version, stage, reason=reason, **based_on(revision, force, lambda: before))
    moved = show.text(f"{after.reference}: ").append_text(show.stage(before.stage)).append(" → ")
    session.answer(after, lambda: moved.append_text(show.stage(after.stage)))
