"""The command `registry approve`, which approves or refuses a version."""

import rich_click as click

from common_lib.cli import options, show
from common_lib.cli.session import Session, with_session


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@options.required_reason_option
@click.option(
    "--refuse",
    is_flag=True,
    help="Refuse the version instead. It cannot be promoted until you approve it, or its metadata or policy changes.",
)
@with_session
def approve(session: Session, *, name: str, version: int, reason: str, refuse: bool) -> None:
    """Approve a version for production. Only a human who did not register the version can approve it."""
    registry = session.registry.approvals
    decide = registry.refuse if refuse else registry.approve
    decision = decide(name, version, reason=reason)
    session.output(decision, lambda: show.text(f"{decision.approver} has {decision.verdict} models:/{name}/{version}"))
