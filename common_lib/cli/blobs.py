"""`registry blobs`."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from common_lib.cli import show
from common_lib.cli.failures import Status
from common_lib.cli.session import Session, connected
from common_lib.errors import BlobNotFound

if TYPE_CHECKING:
    from common_lib.client.http_registry import HttpRegistry
    from common_lib.types.artifacts import Verification

# The registry says nothing while it hashes, which may be 64 GiB from a slow disk.
_HASHING_S = 1_800.0


@click.group()
def blobs() -> None:
    """Bytes at the registry, by their SHA-256."""


@blobs.command()
@click.argument("sha256", required=False)
@click.option(
    "--model",
    "version",
    metavar="NAME/VERSION",
    help="All files of a version: a number, a stage or `latest`; or NAME@ALIAS.",
)
@click.option("--all", "everything", is_flag=True, help="All files of all versions that you may read.")
@connected
def verify(session: Session, *, sha256: str | None, version: str | None, everything: bool) -> None:
    """Let the registry read bytes again, and say whether they are what their digest says.

    Damaged bytes go into quarantine: the registry serves them no more. Bytes in quarantine that are back and hash
    right are served again. Status 6 if any are damaged.
    """
    if (sha256 is not None) + (version is not None) + everything != 1:
        raise click.UsageError(
            "give either the SHA-256 of a blob, or a version by --model NAME/VERSION, or --all for everything"
        )
    session.patient(_HASHING_S)
    if everything:
        with session.busy("Listing the files of all versions …"):
            paths = _all_files(session.registry)
    else:
        paths = {sha256: ""} if sha256 else _files(session.registry, version or "")
    with session.busy(f"Reading {show.count(len(paths), 'blob')} …"):
        found = list(_verified(session.registry, paths, skip_missing=everything))
    session.answer(found, lambda: _table(found, paths))
    if damaged := sum(not each.sound for each in found):
        session.note(
            f"{show.count(damaged, 'damaged blob')}: PUT the same bytes to /v1/blobs/SHA256 again, from a copy or a "
            "backup; that restores the versions that name them"
        )
        raise SystemExit(int(Status.DAMAGED))


def _files(registry: "HttpRegistry", version: str) -> dict[str, str]:
    """A path for each digest of a version."""
    found = registry.resolve(version if version.startswith("models:/") else f"models:/{version}")
    return {entry.sha256: entry.path for entry in registry.versions.manifest(found.model, found.version).files}


def _all_files(registry: "HttpRegistry") -> dict[str, str]:
    """Map each digest of all versions, also of tombstoned and recalled ones, to the path of one file."""
    found: dict[str, str] = {}
    for model in registry.models.search(tombstoned=True):
        for version in registry.versions.search(model.name, tombstoned=True):
            for entry in registry.versions.manifest(model.name, version.version).files:
                found.setdefault(entry.sha256, f"{model.name}/{version.version}: {entry.path}")
    return found


def _verified(registry: "HttpRegistry", digests: Iterable[str], *, skip_missing: bool) -> "Iterator[Verification]":
    for digest in digests:
        try:
            yield registry.artifacts.verify_blob(digest)
        except BlobNotFound:
            # The collector has removed the bytes of a version that was taken out of use.
            if not skip_missing:
                raise


def _table(found: "list[Verification]", paths: dict[str, str]) -> Table:
    rows: list[tuple[show.Cell, ...]] = [
        (
            show.text("✓", "green") if each.sound else show.text("✗", "bold red"),
            each.blob.sha256,
            show.whole(each.blob.size),
            show.time(each.blob.quarantined_at) if each.blob.quarantined_at else "",
            paths.get(each.blob.sha256, ""),
        )
        for each in found
    ]
    return show.table(("", "sha256", "bytes", "quarantined", "path"), rows, right=("bytes",))
