"""The commands for files: `registry download`, `registry convert` and `registry blobs verify`."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from common_lib.cli import show
from common_lib.cli.failures import Status
from common_lib.cli.paths import PathType
from common_lib.cli.session import Session, with_session
from common_lib.errors import BlobNotFound
from common_lib.rules.names import SHA256

if TYPE_CHECKING:
    from common_lib.client.http_registry import HttpRegistry
    from common_lib.types.artifacts import Verification

# While the server hashes a blob it sends nothing; a blob may be 64 GiB on a slow disk.
_HASHING_S = 1_800.0


def _check_digests(_context: click.Context, _option: click.Parameter, digests: tuple[str, ...]) -> tuple[str, ...]:
    for digest in digests:
        if not re.match(SHA256, digest.removeprefix("sha256:")):
            raise click.BadParameter(f"{digest!r} is not a SHA-256 digest: write 64 lower-case hexadecimal digits")
    return digests


@click.command()
@click.argument("reference")
@click.option(
    "--to",
    "folder",
    metavar="FOLDER",
    type=PathType(file_okay=False),
    help="Copy the files to this folder. It must be new or empty, or contain only files of this version.",
)
@click.option(
    "--offline",
    is_flag=True,
    help="Send no request. Use the version that was last fetched for the reference, from the cache.",
)
@with_session
def download(session: Session, *, reference: str, folder: Path | None, offline: bool) -> None:
    """Download the files of a version and verify their digests.

    Without --to, the files are in the cache, and the command prints their folder. They are read-only and shared by all
    your processes. With --to, the command copies the files to that folder. If the folder contains a foreign file, or a
    file with different bytes, the command stops: it never replaces or removes a file.

    REFERENCE is models:/name/7, models:/name@champion, models:/name/production or models:/name/latest.
    """
    with session.transfer(f"Downloading {reference}") as progress:
        if folder is None:
            local = session.registry.fetch(reference, local_files_only=offline, progress=progress)
            version, place = local.version, local.folder
        else:
            version = session.registry.download(reference, folder, local_files_only=offline, progress=progress)
            place = folder
    content = f"{show.count(version.file_count, 'file')}, {show.count(version.size, 'byte')}, verified"
    line = f"{version.reference} is in {folder}: {content}" if folder else str(place)
    session.output({"version": version, "folder": str(place.absolute())}, lambda: show.text(line))
    if folder is None:
        session.note(f"{version.reference}: {content}")


@click.command()
@click.argument("reference")
@click.option(
    "--trust",
    required=True,
    multiple=True,
    metavar="DIGEST",
    callback=_check_digests,
    help="SHA-256 of a version or file that you trust: the code in the file will run. May be repeated.",
)
@click.option(
    "--file", metavar="PATH", help="The path of the file to convert; required if the version has several model files."
)
@with_session
def convert(session: Session, *, reference: str, trust: tuple[str, ...], file: str | None) -> None:
    """Convert a pickle, joblib or torch file to a safe format and register the result as the next version.

    The command runs the code in the old file on this machine: convert only files whose author you trust.
    """
    with session.busy(f"Converting {reference} …"):
        version = session.registry.convert(reference, trust=set(trust), file=file)
    session.output(
        version, lambda: show.text(f"{version.reference} is {reference} in the format of {version.framework}")
    )


@click.group()
def blobs() -> None:
    """Manage blobs: the bytes of files, stored under their SHA-256."""


@blobs.command()
@click.argument("sha256", required=False)
@click.option(
    "--model",
    "version",
    metavar="NAME/VERSION",
    help="Verify all files of a version: NAME/7, NAME/production, NAME/latest or NAME@ALIAS.",
)
@click.option("--all", "everything", is_flag=True, help="Verify all files of all versions that you may read.")
@with_session
def verify(session: Session, *, sha256: str | None, version: str | None, everything: bool) -> None:
    """Ask the server to hash stored blobs again and compare the hash of each blob with its digest.

    The server moves damaged blobs to quarantine and stops serving them. A blob in quarantine that has its digest again
    is served again. The exit status is 6 if a blob is damaged.
    """
    if (sha256 is not None) + (version is not None) + everything != 1:
        raise click.UsageError("pass exactly one of these: the SHA-256 of a blob, --model NAME/VERSION, or --all")
    session.set_blob_timeout(_HASHING_S)
    if everything:
        with session.busy("Listing the files of all versions …"):
            paths = _all_paths(session.registry)
    else:
        paths = {sha256: ""} if sha256 else _version_paths(session.registry, version or "")
    with session.busy(f"Verifying {show.count(len(paths), 'blob')} …"):
        found = list(_verify_all(session.registry, paths, skip_missing=everything))
    session.output(found, lambda: _table(found, paths))
    if damaged := sum(not each.sound for each in found):
        session.note(
            f"{show.count(damaged, 'damaged blob')}: PUT the same bytes to /v1/blobs/SHA256 again, from a copy or a "
            "backup; that restores the versions that contain them"
        )
        raise SystemExit(int(Status.DAMAGED))


def _version_paths(registry: "HttpRegistry", version: str) -> dict[str, str]:
    """Return a dict from each digest in a version to the path of a file with that digest."""
    found = registry.resolve(version if version.startswith("models:/") else f"models:/{version}")
    return {entry.sha256: entry.path for entry in registry.versions.manifest(found.model, found.version).files}


def _all_paths(registry: "HttpRegistry") -> dict[str, str]:
    """Return a dict from each digest in all versions, even tombstoned and recalled ones, to a path of a file."""
    found: dict[str, str] = {}
    for model in registry.models.search(tombstoned=True):
        for version in registry.versions.search(model.name, tombstoned=True):
            for entry in registry.versions.manifest(model.name, version.version).files:
                found.setdefault(entry.sha256, f"{model.name}/{version.version}: {entry.path}")
    return found


def _verify_all(registry: "HttpRegistry", digests: Iterable[str], *, skip_missing: bool) -> "Iterator[Verification]":
    for digest in digests:
        try:
            yield registry.artifacts.verify_blob(digest)
        except BlobNotFound:
            # Garbage collection has removed the bytes of a tombstoned version.
            if not skip_missing:
                raise


def _table(found: "list[Verification]", paths: dict[str, str]) -> Table:
    rows: list[tuple[show.Cell, ...]] = [
        (
            show.text("✓", "green") if each.sound else show.text("✗", "bold red"),
            each.blob.sha256,
            show.integer(each.blob.size),
            show.time(each.blob.quarantined_at) if each.blob.quarantined_at else "",
            paths.get(each.blob.sha256, ""),
        )
        for each in found
    ]
    return show.table(("", "sha256", "bytes", "quarantined", "path"), rows, right=("bytes",))
