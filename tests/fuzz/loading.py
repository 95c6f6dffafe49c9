"""Shared code of the targets of model files: the check that `load` makes, and a load by the public function."""

import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from unittest import mock

from common_lib.artifacts import loading
from common_lib.artifacts.loading import BUILT_IN
from common_lib.errors import LoadRefused
from common_lib.rules.formats import BY_NAME
from tests.support.local_versions import make_local_version


def checks(name: str) -> Callable[[bytes], None]:
    """Build the check of a format from the check of its bytes and that of its loader, both without a library."""
    form = BY_NAME[name]
    loader = import_module(BUILT_IN[form.loader])

    def check(content: bytes) -> None:
        if reason := form.fault(content) or loader.fault(content):
            raise LoadRefused(name, why=reason, remedy="")

    return check


def loads(name: str) -> Callable[..., Any]:
    """Build a function that writes bytes as a local version of one file and loads it."""
    path = f"model{BY_NAME[name].suffixes[0]}"

    def load_one(content: bytes, **options: Any) -> Any:
        # Reading the entry points of every distribution takes 5 ms, a hundred times as long as the rest.
        with mock.patch.object(loading, "entry_points", _entry_points):
            return loading.load(make_local_version(_folder(name), {path: content}), file=path, **options)

    return load_one


@cache
def _folder(name: str) -> Path:
    held = tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-", dir=_memory_disk())
    _HELD.append(held)
    return Path(held.name)


def _memory_disk() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - only a new folder in it is used


_entry_points = cache(entry_points)
_HELD: list[Any] = []  # removed when the process ends
