"""`registry-server gc`: room again, in two steps that leave time to change one's mind."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from common_lib.cli import show
from common_lib.cli.failures import EXIT_CODES, reported
from registry_server.cli.options import duration, reach
from registry_server.settings import Settings

if TYPE_CHECKING:
    from common_lib.types.collection import Collection


def _time(name: str, default: str, about: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(name, type=duration, metavar="TIME", default=default, show_default=True, help=about)


@click.command(epilog=EXIT_CODES)
@reach
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@_time("--grace", "1d", "Bytes go to the trash when they were found unnamed for so long.")
@_time("--retention", "30d", "A tombstoned version keeps its bytes for so long.")
@_time("--trash", "7d", "What is in the trash is removed for good after so long.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document, and errors as JSON problems.")
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
    """Remove bytes that no version names: first to the trash, later for good. Run it once a day.

    It is done by the server that owns the data folder, or, if none runs, on the folder itself. Versions, manifests and
    digests stay for ever. A TIME is a number and s, m, h or d.
    """
    from registry_server.cli.access import administration  # noqa: PLC0415 - help does not wait for the imports

    with reported(as_json=as_json), administration(settings, url, token_file) as registry:
        done = registry.artifacts.collect_garbage(dry_run=dry_run, grace_s=grace, retention_s=retention, trash_s=trash)
    if as_json:
        show.document(done.model_dump(mode="json"))
        return
    show.put(_table(done))
    if dry_run:
        show.stderr().print(show.text("This was a dry run: nothing was changed."), soft_wrap=True)


def _table(done: "Collection") -> Table:
    counted: list[tuple[str, int, int | None]] = [
        ("tombstoned versions let go of their bytes", done.released_versions, None),
        ("blobs that no version names", done.unreferenced_blobs, None),
        ("blobs moved to the trash", done.removed_blobs, done.removed_bytes),
        ("files without a row moved to the trash", done.orphan_files, None),
        ("uploads forgotten", done.expired_uploads, None),
        ("files removed from the trash for good", done.purged_files, done.purged_bytes),
    ]
    rows = [(what, show.whole(count), "" if size is None else show.whole(size)) for what, count, size in counted]
    return show.table(("", "count", "bytes"), rows, right=("count", "bytes"))
