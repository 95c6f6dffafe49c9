"""`registry download`."""

from pathlib import Path

import rich_click as click

from common_lib.cli import show
from common_lib.cli.session import Session, connected


@click.command()
@click.argument("reference")
@click.option(
    "--to",
    "folder",
    required=True,
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files go: a new or empty folder, or one that holds files of this version and no others.",
)
@connected
def download(session: Session, *, reference: str, folder: Path) -> None:
    """Fetch the files of a version; each is verified before it gets its name.

    Files that are there already with the right bytes are kept. Any other file is refused, never replaced or removed.

    REFERENCE is models:/name/7, models:/name@champion, models:/name/production or models:/name/latest.
    """
    with session.busy(f"Fetching {reference} …"):
        version = session.registry.download(reference, folder)
    content = f"{show.count(version.file_count, 'file')}, {show.count(version.size, 'byte')}, verified"
    said = f"{version.reference} is in {folder}: {content}"
    session.answer({"version": version, "folder": str(folder.absolute())}, lambda: show.text(said))
