"""A command group that escapes its usage errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rich_click as click

from common_lib.escapes import escape


class SafeGroup(click.RichGroup):
    """A command group that escapes the control characters of its usage errors, which repeat words of the user."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Parse the options before the command, and escape errors in them."""
        with _escape_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Parse the arguments of the command and run it, and escape usage errors."""
        with _escape_errors():
            return super().invoke(ctx)


@contextmanager
def _escape_errors() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        error.message = escape(error.message)  # type: ignore[misc]
        raise
