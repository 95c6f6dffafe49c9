"""Progress bars for uploads and downloads."""

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Column

from common_lib.cli import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from common_lib.artifacts.progress import ProgressListener


@contextmanager
def bars(console: "Console", sentence: str) -> "Iterator[ProgressListener]":
    """Show a progress bar for all bytes and one for each current file; yield the listener that updates the bars."""
    columns = (
        # A long path is shortened, so that the numbers stay visible.
        TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=20),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, transient=True, expand=True) as progress:
        yield Bars(progress, sentence).report


class Bars:
    """The progress bars of one transfer: the first bar shows the sum of all files, the others one file each."""

    def __init__(self, progress: Progress, sentence: str) -> None:
        self._progress = progress
        self._all = progress.add_task(show.text(sentence).plain, total=None)
        self._known: dict[str, tuple[int, int]] = {}
        self._bars: dict[str, TaskID] = {}
        self._done = self._total = 0
        self._lock = Lock()

    def report(self, path: str, done: int, total: int) -> None:
        """Update the bar of a file to `done` of `total` bytes; remove the bar when the file is complete."""
        with self._lock:
            self._count(path, done, total)
            if done < total:
                if path not in self._bars:
                    self._bars[path] = self._progress.add_task(show.text(path).plain, total=total)
                self._progress.update(self._bars[path], completed=done, total=total)
            elif path in self._bars:
                self._progress.remove_task(self._bars.pop(path))

    def _count(self, path: str, done: int, total: int) -> None:
        before = self._known.get(path, (0, 0))
        if before[0] == before[1] > done:
            # A complete file starts again: hashing has ended, and the upload begins.
            self._known, self._done, self._total, before = {}, 0, 0, (0, 0)
        self._known[path] = (done, total)
        self._done += done - before[0]
        self._total += total - before[1]
        self._progress.update(self._all, completed=self._done, total=self._total)
