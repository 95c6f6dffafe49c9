"""The program `registry`, with all its commands and command groups."""

import rich_click as click

from common_lib.cli import (
    aliases,
    approvals,
    artifacts,
    diff,
    events,
    lifecycle,
    models,
    policies,
    principals,
    production,
    versions,
)
from common_lib.cli.completion import completion
from common_lib.cli.failures import EXIT_CODES
from common_lib.cli.groups import SafeGroup


@click.group(cls=SafeGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(package_name="model-registry-service")
def program() -> None:
    """Register models, move versions to production, and look up what was in use, when and why.

    The registry's address and your token come from REGISTRY_URL and REGISTRY_TOKEN, or from the options of each
    command.
    """


for _command in (
    principals.whoami,
    models.models,
    models.search,
    versions.versions,
    lifecycle.stages,
    production.promote,
    production.rollback,
    lifecycle.recall,
    lifecycle.reinstate,
    approvals.approve,
    production.history,
    policies.policy,
    aliases.aliases,
    diff.diff,
    artifacts.download,
    artifacts.blobs,
    artifacts.convert,
    events.events,
    completion,
):
    program.add_command(_command)
