"""A command group that escapes its usage errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rich_click as click

from common_lib.escapes import escape


class SafeGroup(click.RichGroup):
    """A group whose usage errors are safe to print, although they repeat words of the command line or of a file."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Parse the words before the command."""
        with _escape_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Parse the words of the command, and run it."""
        with _escape_errors():
            return super().invoke(ctx)


@contextmanager
def _escape_errors() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        error.message = escape(error.message)  # type: ignore[misc]
        raise
