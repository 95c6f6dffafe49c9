"""`registry-server doctor`: check the installation, the data folder and the database."""

from typing import TYPE_CHECKING

import rich_click as click

from common_lib.cli import show
from registry_server.cli.options import with_settings
from registry_server.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from registry_server.invariants.findings import Finding


@click.command()
@with_settings
@click.option("--verify", is_flag=True, help="Also hash the bytes of every blob; this takes about a second per GB.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def doctor(settings: Settings, *, verify: bool, as_json: bool) -> None:
    """Check the installation, the data folder and the database, without changing anything.

    The exit status is 0 if every check passes, and 1 if a check fails. A server may be running meanwhile.
    """
    found = _examine(settings, verify=verify)
    if as_json:
        show.write_json([finding._asdict() for finding in found])
    else:
        rows = [(_mark(finding.well), show.text(finding.what, "bold"), finding.found) for finding in found]
        show.write(show.table(("", "", "found"), rows, free=("found",)))
    if any(finding.well is False for finding in found):
        raise SystemExit(1)


def _examine(settings: Settings, *, verify: bool) -> "list[Finding]":
    from registry_server.cli.doctor_checks import examine  # noqa: PLC0415 - help does not wait for the imports

    err = show.stderr()
    if not err.is_terminal:
        return examine(settings, verify=verify, progress=lambda _: None)
    with err.status("Checking …") as status:
        return examine(settings, verify=verify, progress=status.update)


def _mark(well: bool | None) -> "Text":  # noqa: FBT001 - three values
    return show.text(*{True: ("✓", "green"), False: ("✗", "bold red"), None: ("–", "dim")}[well])
