"""The group of all commands of a program, whose usage errors are as safe to print as its answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rich_click as click

from common_lib.escapes import escape


class SafeGroup(click.RichGroup):
    """A group that escapes what its usage errors repeat: a word of the command line, or what a file says."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Parse the words before the command."""
        with _escaped():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Parse the words of the command, and run it."""
        with _escaped():
            return super().invoke(ctx)


@contextmanager
def _escaped() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        error.message = escape(error.message)  # type: ignore[misc]
        raise
