"""Remove temporary files of killed processes from a cache. A file is removed because of its age; there are no locks.

A file that a process is still writing is younger than the limits in this module. If a process is paused for longer and
its file is removed, the later rename fails; the process then tries again, or continues without the file.
"""

import contextlib
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

# Longer than any writer takes between creating a file and renaming it.
ABANDONED_S: Final = 300.0
# An interrupted download can be continued for this long; the registry keeps the parts of an upload equally long.
PARTIAL_S: Final = 86_400.0
# Seven times the largest age of answers that are served by default.
RESOLVES_S: Final = 7 * 86_400.0
# `.<32 digits>` was the form of earlier releases.
_TEMPORARY: Final = re.compile(r"\.(?:[0-9a-f]{64}\.)?[0-9a-f]{32}$(?!\n)")
_COPY: Final = re.compile(r"\.[0-9a-f]{32}\.partial$(?!\n)")
_PARTIAL: Final = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{32}$(?!\n)")
_RESOLVES: Final = re.compile(r"[0-9a-f]{64}$(?!\n)")


def sweep(root: Path) -> None:
    """Remove the temporary files of killed processes from a cache. Ignore files that cannot be removed."""
    for name in ("references", "manifests", "resolves"):
        _remove(root / name, _TEMPORARY, ABANDONED_S)
    _remove(root / "resolves", _RESOLVES, RESOLVES_S)
    _remove(root / "partial", _PARTIAL, PARTIAL_S)


def sweep_links(folder: Path) -> None:
    """Remove temporary links that a killed process left in the folder of a version."""
    _remove(folder, _TEMPORARY, ABANDONED_S, is_wanted=stat.S_ISLNK)


def sweep_copies(folder: Path) -> None:
    """Remove incomplete copies that a killed process left in a folder of the user. Never remove other files."""
    _remove(folder, _COPY, PARTIAL_S)


def _remove(
    folder: Path, names: re.Pattern[str], age_s: float, *, is_wanted: Callable[[int], bool] = stat.S_ISREG
) -> None:
    # Here and below: errors are ignored, because another process may remove the same files at the same time.
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if names.match(entry.name):
                _remove_old(entry, age_s, is_wanted)


def _remove_old(entry: "os.DirEntry[str]", age_s: float, is_wanted: Callable[[int], bool]) -> None:
    with contextlib.suppress(OSError):
        found = entry.stat(follow_symlinks=False)
        if is_wanted(found.st_mode) and time.time() - found.st_mtime > age_s:
            Path(entry.path).unlink()
