"""The options, configuration and output that all commands of `registry` share."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from common_lib.artifacts.progress import ignore_progress
from common_lib.cli import show
from common_lib.cli.failures import exit_on_error
from common_lib.cli.paths import PathType
from common_lib.config import DEFAULT_URL, RegistryConfig
from common_lib.errors import InvalidConfiguration
from common_lib.own_files import read_own

if TYPE_CHECKING:
    from rich.console import RenderableType

    from common_lib.artifacts.progress import ProgressListener
    from common_lib.client.http_registry import HttpRegistry

_PANEL = "Registry"
_MOST_BYTES = 16 * 1024
_OPTIONS = [
    click.option(
        "--url",
        panel=_PANEL,
        metavar="URL",
        envvar="REGISTRY_URL",
        show_envvar=True,
        default=DEFAULT_URL,
        show_default=True,
        help="The address of the registry.",
    ),
    click.option(
        "--token",
        panel=_PANEL,
        metavar="TOKEN",
        help="Your token. Prefer --token-file or REGISTRY_TOKEN, which other users of this machine cannot see.",
    ),
    click.option(
        "--token-file",
        panel=_PANEL,
        metavar="FILE",
        type=PathType(exists=True, dir_okay=False),
        help="The file that holds the token.",
    ),
    click.option(
        "--fresh",
        panel=_PANEL,
        is_flag=True,
        help="Fail if the registry does not respond. By default, the last answer about a reference is shown.",
    ),
    click.option(
        "--idempotency-key",
        panel=_PANEL,
        metavar="KEY",
        help="Repeat a change whose outcome is unknown: pass the key from its error message. It is made only once.",
    ),
    click.option(
        "--json",
        "as_json",
        panel=_PANEL,
        is_flag=True,
        help="Write the result as one JSON document, and an error as a JSON problem.",
    ),
]


class Session:
    """The registry and the output of one run of a command."""

    def __init__(self, config: RegistryConfig, *, as_json: bool, key: str | None = None) -> None:
        self._config = config
        self._key = key
        self.as_json = as_json

    @cached_property
    def registry(self) -> "HttpRegistry":
        """The registry at the configured address, opened on first use."""
        # Imported here, because httpx and pydantic would slow down help and completion.
        from common_lib.cli.stale_warning import StaleWarning  # noqa: PLC0415
        from common_lib.client.http_registry import HttpRegistry  # noqa: PLC0415

        telemetry = StaleWarning(as_json=self.as_json)
        if self._key is None:
            return HttpRegistry(self._config, telemetry=telemetry)
        from common_lib.cli.idempotency import KeyedRegistry  # noqa: PLC0415 - as above

        return KeyedRegistry(self._config, telemetry=telemetry, key=self._key)

    def set_blob_timeout(self, timeout_s: float) -> None:
        """Set the timeout in seconds of requests for blobs. Call this before the first use of `registry`."""
        self._config = replace(self._config, blob_timeout_s=timeout_s)

    def output(self, value: Any, render: Callable[[], "RenderableType"]) -> None:
        """Write the result to standard output: with --json `value` as JSON, otherwise what `render` returns."""
        if self.as_json:
            from pydantic import TypeAdapter  # noqa: PLC0415 - as above

            show.write_json(TypeAdapter(Any).dump_python(value, mode="json"))
        else:
            show.write(render())

    def note(self, sentence: str) -> None:
        """Write a sentence to standard error, except with --json."""
        if not self.as_json:
            show.stderr().print(show.text(sentence), soft_wrap=True)

    @contextmanager
    def busy(self, sentence: str) -> Iterator[None]:
        """Show a spinner on a terminal while the block runs."""
        err = show.stderr()
        if self.as_json or not err.is_terminal:
            yield
        else:
            with err.status(show.text(sentence)):
                yield

    @contextmanager
    def transfer(self, sentence: str) -> "Iterator[ProgressListener]":
        """Show progress bars on a terminal while the block runs; yield the listener that updates the bars."""
        err = show.stderr()
        if self.as_json or not err.is_terminal:
            yield ignore_progress
        else:
            from common_lib.cli.progress import bars  # noqa: PLC0415 - needed on a terminal only

            with bars(err, sentence) as report:
                yield report

    def close(self) -> None:
        """Close the registry if it was opened."""
        if "registry" in self.__dict__:
            self.registry.close()


def with_session(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a `Session` to a command, and pass the session as its first argument."""

    @functools.wraps(command)
    def run(
        *,
        url: str,
        token: str | None,
        token_file: Path | None,
        fresh: bool,
        idempotency_key: str | None,
        as_json: bool,
        **arguments: Any,
    ) -> None:
        with exit_on_error(as_json=as_json):
            config = build_config(url, read_token(token, token_file), fresh=fresh)
            session = Session(config, as_json=as_json, key=idempotency_key)
            try:
                command(session, **arguments)
            finally:
                session.close()

    for option in reversed(_OPTIONS):
        run = option(run)
    # Help shows the panels in this order: the command's own options first.
    return click.option_panel("Options")(click.option_panel(_PANEL)(run))


def build_config(url: str, token: str, *, fresh: bool) -> RegistryConfig:
    """Return the configuration from the environment, with the given address and token.

    Each command sends a request, because the user wants the current state. A cached answer is used only if the registry
    does not respond, and never if `fresh` is true.
    """
    overridden = {"REGISTRY_URL", "REGISTRY_TOKEN"}
    found = RegistryConfig.from_environment({key: os.environ[key] for key in os.environ.keys() - overridden})
    resolve = None if fresh or found.resolve is None else replace(found.resolve, fresh_s=0.0, revalidate_s=0.0)
    return replace(found, url=url, token=token, resolve=resolve)


def read_token(token: str | None, file: Path | None, *, secret: bool = False) -> str:
    """Return the token from the command line, a file or `REGISTRY_TOKEN`, in this order, or "" without a token.

    If `secret` is true, a file that other users can read is refused.

    Raises:
        InvalidConfiguration: token and file are both given, the file is empty or unsafe, or the token contains a
            character that is not allowed in tokens.
    """
    if token and file:
        raise InvalidConfiguration("--token and --token-file cannot be combined: use only one of them")
    found = token or (_read_file(file, secret=secret) if file else os.environ.get("REGISTRY_TOKEN", ""))
    found = found.strip()
    if file and not found:
        raise InvalidConfiguration(f"{file} is empty: write the token into it")
    # An invalid header value would be refused later, by an error that contains the token.
    if not found.isascii() or not found.isprintable() or " " in found:
        raise InvalidConfiguration(
            "the token contains spaces or characters that are not printable ASCII: copy the token again"
        )
    return found


def _read_file(file: Path, *, secret: bool) -> str:
    try:
        return read_own(file, most_bytes=_MOST_BYTES, secret=secret).decode("utf-8", "replace")
    except OSError as error:
        raise InvalidConfiguration(f"the token cannot be read: {error}") from None
