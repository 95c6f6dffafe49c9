"""The command `registry whoami`, which shows the user's principal."""

import rich_click as click

from common_lib.cli import show
from common_lib.cli.session import Session, with_session


@click.command()
@with_session
def whoami(session: Session) -> None:
    """Show the principal that your token belongs to, and its grants."""
    me = session.registry.principals.whoami()
    grants = ", ".join(f"{grant.role} on {grant.models}" for grant in me.grants)
    session.output(me, lambda: show.fields([("name", me.name), ("kind", me.kind), ("grants", grants or "none")]))
