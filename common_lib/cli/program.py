"""The program `registry` and its groups."""

import rich_click as click

from common_lib.cli import (
    aliases,
    blobs,
    convert,
    decisions,
    diff,
    events,
    files,
    models,
    policy,
    show,
    stages,
    versions,
)
from common_lib.cli.completion import completion
from common_lib.cli.failures import EXIT_CODES
from common_lib.cli.groups import SafeGroup
from common_lib.cli.session import Session, connected


@click.group(cls=SafeGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(package_name="model-registry-service")
def program() -> None:
    """Which version of which model is in use, why, and since when.

    The registry's address and your token come from REGISTRY_URL and REGISTRY_TOKEN, or from the options of each
    command.
    """


@program.command()
@connected
def whoami(session: Session) -> None:
    """Who the registry takes you for, and what you may do."""
    me = session.registry.principals.whoami()
    grants = ", ".join(f"{grant.role} on {grant.models}" for grant in me.grants)
    session.answer(me, lambda: show.fields([("name", me.name), ("kind", me.kind), ("grants", grants or "none")]))


program.add_command(models.models)
program.add_command(models.search)
program.add_command(versions.versions)
program.add_command(stages.stages)
program.add_command(decisions.promote)
program.add_command(decisions.rollback)
program.add_command(decisions.recall)
program.add_command(decisions.reinstate)
program.add_command(decisions.approve)
program.add_command(decisions.history)
program.add_command(policy.policy)
program.add_command(aliases.aliases)
program.add_command(diff.diff)
program.add_command(files.download)
program.add_command(blobs.blobs)
program.add_command(convert.convert)
program.add_command(events.events)
program.add_command(completion)
