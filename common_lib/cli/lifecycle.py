"""The commands that change a version's stage or recall: `registry stages`, `recall` and `reinstate`."""

import rich_click as click

from common_lib.cli import options, show
from common_lib.cli.session import Session, with_session
from common_lib.rules.lifecycle import ModelStage

# Promotion and rollback have commands of their own, and no version moves back to development.
_STAGES = click.Choice([str(ModelStage.STAGING), str(ModelStage.ARCHIVED)])
_VERSION = click.argument("version", type=click.IntRange(min=1))


@click.group()
def stages() -> None:
    """Manage the stages of versions: development, staging, production, archived."""


@stages.command("set")
@click.argument("name")
@_VERSION
@click.argument("stage", type=_STAGES, metavar="STAGE")
@click.option(
    "--reason", default="", help="The reason, for the audit log. Required to archive a version, and with --force."
)
@options.change_options
@with_session
def set_stage(
    session: Session, *, name: str, version: int, stage: str, reason: str, revision: int | None, force: bool
) -> None:
    """Move a version to staging or archived. To change production, use `registry promote` or `registry rollback`."""
    registry = session.registry.versions
    before = registry.get(name, version)
    after = registry.transition(
        name, version, stage, reason=reason, **options.precondition(revision, force, lambda: before)
    )
    moved = show.text(f"{after.reference}: ").append_text(show.stage(before.stage)).append(" → ")
    session.output(after, lambda: moved.append_text(show.stage(after.stage)))


@click.command()
@click.argument("name")
@_VERSION
@options.required_reason_option
@options.change_options
@with_session
def recall(session: Session, *, name: str, version: int, reason: str, revision: int | None, force: bool) -> None:
    """Block a version at once: nobody can resolve, fetch or load it until it is reinstated."""
    registry = session.registry.versions
    basis = options.precondition(revision, force, lambda: registry.get(name, version))
    after = registry.recall(name, version, reason=reason, **basis)
    session.output(after, lambda: show.text(f"{after.reference} is recalled", "bold red"))


@click.command()
@click.argument("name")
@_VERSION
@options.required_reason_option
@options.change_options
@with_session
def reinstate(session: Session, *, name: str, version: int, reason: str, revision: int | None, force: bool) -> None:
    """Reinstate a recalled version, so that it can be resolved, fetched and loaded again."""
    registry = session.registry.versions
    basis = options.precondition(revision, force, lambda: registry.get(name, version))
    after = registry.reinstate(name, version, reason=reason, **basis)
    sentence = show.text(f"{after.reference} is reinstated, in ")
    session.output(after, lambda: sentence.append_text(show.stage(after.stage)))
