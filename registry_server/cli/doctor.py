"""`registry-server doctor`: is everything as it should be?"""

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
@click.option("--verify", is_flag=True, help="Also hash the bytes of every blob, which takes a second for each GB.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def doctor(settings: Settings, *, verify: bool, as_json: bool) -> None:
    """Look at the installation, the data folder and the database, and change nothing.

    Status 0 if all is well, 1 if something is not. A server may be running.
    """
    found = _examined(settings, verify=verify)
    if as_json:
        show.document([finding._asdict() for finding in found])
    else:
        rows = [(_mark(finding.well), show.text(finding.what, "bold"), finding.found) for finding in found]
        show.put(show.table(("", "", "found"), rows, free=("found",)))
    if any(finding.well is False for finding in found):
        raise SystemExit(1)


def _examined(settings: Settings, *, verify: bool) -> "list[Finding]":
    from registry_server.cli.checks import examined  # noqa: PLC0415 - help does not wait for the imports

    err = show.stderr()
    if not err.is_terminal:
        return examined(settings, verify=verify, progress=lambda _: None)
    with err.status("Looking …") as status:
        return examined(settings, verify=verify, progress=status.update)


def _mark(well: bool | None) -> "Text":  # noqa: FBT001 - three values
    return show.text(*{True: ("✓", "green"), False: ("✗", "bold red"), None: ("–", "dim")}[well])
