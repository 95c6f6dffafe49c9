"""Removal of what killed processes have left in a cache, by its age alone: there are no locks.

A file that another process writes just now is younger than the ages here. A process that was stopped for longer than
that fails to give its file a name, and tries again or goes without.
"""

import contextlib
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

# Longer than any writer pauses between making a file and giving it its name.
ABANDONED_S: Final = 300.0
# As long as the registry keeps the parts of an upload: within it, a download that was cut goes on where it ended.
PARTIAL_S: Final = 86_400.0
# Seven times the age up to which answers are served by default.
RESOLVES_S: Final = 7 * 86_400.0
# `.<32 digits>` was the form of earlier releases.
_TEMPORARY: Final = re.compile(r"\.(?:[0-9a-f]{64}\.)?[0-9a-f]{32}$(?!\n)")
_COPY: Final = re.compile(r"\.[0-9a-f]{32}\.partial$(?!\n)")
_PARTIAL: Final = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{32}$(?!\n)")
_RESOLVES: Final = re.compile(r"[0-9a-f]{64}$(?!\n)")


def sweep(root: Path) -> None:
    """Remove abandoned files of a cache; those that cannot be removed stay."""
    for name in ("references", "manifests", "resolves"):
        _remove(root / name, _TEMPORARY, ABANDONED_S)
    _remove(root / "resolves", _RESOLVES, RESOLVES_S)
    _remove(root / "partial", _PARTIAL, PARTIAL_S)


def sweep_links(folder: Path) -> None:
    """Remove links that a killed process made and did not name in a folder of a snapshot."""
    _remove(folder, _TEMPORARY, ABANDONED_S, is_wanted=stat.S_ISLNK)


def sweep_copies(folder: Path) -> None:
    """Remove copies that a killed process began in a folder of the user's own, and nothing else."""
    _remove(folder, _COPY, PARTIAL_S)


def _remove(
    folder: Path, names: re.Pattern[str], age_s: float, *, is_wanted: Callable[[int], bool] = stat.S_ISREG
) -> None:
    # Here and below: what cannot be listed or removed, or was removed by another process just now, is left.
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if names.match(entry.name):
                _remove_old(entry, age_s, is_wanted)


def _remove_old(entry: "os.DirEntry[str]", age_s: float, is_wanted: Callable[[int], bool]) -> None:
    with contextlib.suppress(OSError):
        found = entry.stat(follow_symlinks=False)
        if is_wanted(found.st_mode) and time.time() - found.st_mtime > age_s:
            Path(entry.path).unlink()
