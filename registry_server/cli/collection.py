"""`registry-server gc`: move unreferenced bytes to the trash, and delete them later."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from common_lib.cli import show
from common_lib.cli.failures import EXIT_CODES, exit_on_error
from registry_server.cli.options import json_option, parse_duration, with_registry_options
from registry_server.settings import Settings

if TYPE_CHECKING:
    from common_lib.rules.collection import Collection


def _duration_option(name: str, default: str, about: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(name, type=parse_duration, metavar="TIME", default=default, show_default=True, help=about)


@click.command(epilog=EXIT_CODES)
@with_registry_options
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and change nothing.")
@_duration_option("--grace", "1d", "Time for which bytes must be unreferenced before they go to the trash.")
@_duration_option("--retention", "30d", "Time for which a tombstoned version retains its bytes.")
@_duration_option("--trash", "7d", "Time for which files stay in the trash before they are deleted.")
@json_option
def gc(
    settings: Settings,
    *,
    url: str | None,
    token_file: Path | None,
    dry_run: bool,
    grace: int,
    retention: int,
    trash: int,
    as_json: bool,
) -> None:
    """Move bytes that no version references to the trash, and delete them later. Run it once a day.

    The command works through the server that owns the data folder, or in the folder itself if no server runs. It never
    removes versions, manifests or digests. TIME is a number and a unit: s, m, h or d.
    """
    from registry_server.cli.administration import open_registry  # noqa: PLC0415 - help does not wait for the imports

    with exit_on_error(as_json=as_json), open_registry(settings, url, token_file) as registry:
        done = registry.artifacts.collect_garbage(dry_run=dry_run, grace_s=grace, retention_s=retention, trash_s=trash)
    if as_json:
        show.write_json(asdict(done))
        return
    show.write(_table(done))
    if dry_run:
        show.stderr().print(show.text("Dry run: nothing was changed."), soft_wrap=True)


def _table(done: "Collection") -> Table:
    counted: list[tuple[str, int, int | None]] = [
        ("tombstoned versions whose bytes were released", done.released_versions, None),
        ("blobs found unreferenced", done.unreferenced_blobs, None),
        ("blobs moved to the trash", done.removed_blobs, done.removed_bytes),
        ("files without a row moved to the trash", done.orphan_files, None),
        ("expired uploads deleted", done.expired_uploads, None),
        ("files deleted from the trash", done.purged_files, done.purged_bytes),
    ]
    rows = [(what, show.integer(count), "" if size is None else show.integer(size)) for what, count, size in counted]
    return show.table(("", "count", "bytes"), rows, right=("count", "bytes"))
