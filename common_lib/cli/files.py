"""`registry download`."""

from pathlib import Path

import rich_click as click

from common_lib.cli import show
from common_lib.cli.paths import PathType
from common_lib.cli.session import Session, connected


@click.command()
@click.argument("reference")
@click.option(
    "--to",
    "folder",
    metavar="FOLDER",
    type=PathType(file_okay=False),
    help="Where copies go: a new or empty folder, or one that holds files of this version and no others.",
)
@click.option(
    "--offline",
    is_flag=True,
    help="Do not ask the registry: take from the cache what the reference meant when it was last fetched.",
)
@connected
def download(session: Session, *, reference: str, folder: Path | None, offline: bool) -> None:
    """Fetch the files of a version; each is verified before it gets its name.

    Without --to they stand, read-only, in the cache that all processes of this machine share, and the folder is
    printed. With --to they are copied: files that are there already with the right bytes are kept, any other file is
    refused, never replaced or removed.

    REFERENCE is models:/name/7, models:/name@champion, models:/name/production or models:/name/latest.
    """
    with session.transfer(f"Fetching {reference}") as progress:
        if folder is None:
            local_version = session.registry.fetch(reference, local_files_only=offline, progress=progress)
            version, place = local_version.version, local_version.folder
        else:
            version = session.registry.download(reference, folder, local_files_only=offline, progress=progress)
            place = folder
    content = f"{show.count(version.file_count, 'file')}, {show.count(version.size, 'byte')}, verified"
    said = f"{version.reference} is in {folder}: {content}" if folder else str(place)
    session.answer({"version": version, "folder": str(place.absolute())}, lambda: show.text(said))
    if folder is None:
        session.note(f"{version.reference}: {content}")
