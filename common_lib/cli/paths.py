"""A type for paths on the command line. It refuses an empty path, which pathlib would turn into the current folder."""

import os
from pathlib import Path
from typing import Any

import rich_click as click


class PathType(click.Path):
    """A `click.Path` that refuses an empty or blank text and converts to `pathlib.Path`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(
        self, value: "str | os.PathLike[str]", param: click.Parameter | None, ctx: click.Context | None
    ) -> "str | bytes | os.PathLike[str]":
        """Return the path; raise a usage error if it is empty or blank."""
        if not str(value).strip():
            self.fail("the path is empty; pass '.' for the current folder", param, ctx)
        return super().convert(value, param, ctx)
