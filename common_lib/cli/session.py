"""What every command of `registry` shares: where the registry is, who calls, and whether a machine reads the answer."""

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
from common_lib.cli.failures import reported
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
        help="Where the registry is.",
    ),
    click.option(
        "--token",
        panel=_PANEL,
        metavar="TOKEN",
        help="Who calls; better given by --token-file or REGISTRY_TOKEN, which other users of this machine cannot see.",
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
        help="Fail while the registry does not answer, instead of telling what a reference meant when it last did.",
    ),
    click.option(
        "--idempotency-key",
        panel=_PANEL,
        metavar="KEY",
        help="Repeat a change whose outcome is not known: the key that its error named. It is done once.",
    ),
    click.option(
        "--json", "as_json", panel=_PANEL, is_flag=True, help="Write one JSON document, and errors as JSON problems."
    ),
]


class Session:
    """One run of a command: the registry, connected when it is first asked, and the way to answer."""

    def __init__(self, config: RegistryConfig, *, as_json: bool, key: str | None = None) -> None:
        self._config = config
        self._key = key
        self.as_json = as_json

    @cached_property
    def registry(self) -> "HttpRegistry":
        """The registry at the given address."""
        # Imported here, so that help and completion do not pay for httpx and pydantic.
        from common_lib.cli.stale import Stale  # noqa: PLC0415
        from common_lib.client.http_registry import HttpRegistry  # noqa: PLC0415

        telemetry = Stale(as_json=self.as_json)
        if self._key is None:
            return HttpRegistry(self._config, telemetry=telemetry)
        from common_lib.cli.keyed import KeyedRegistry  # noqa: PLC0415 - as above

        return KeyedRegistry(self._config, telemetry=telemetry, key=self._key)

    def patient(self, seconds: float) -> None:
        """Wait so long for each answer about bytes; to be said before the registry is first asked."""
        self._config = replace(self._config, blob_timeout_s=seconds)

    def answer(self, value: Any, render: Callable[[], "RenderableType"]) -> None:
        """Write a value, or a list of them, to standard output: as JSON, or as `render` shows it to people."""
        if self.as_json:
            show.document(_plain(value))
        else:
            show.put(render())

    def note(self, sentence: str) -> None:
        """Tell people what was done; machines have the document."""
        if not self.as_json:
            show.stderr().print(show.text(sentence), soft_wrap=True)

    @contextmanager
    def busy(self, sentence: str) -> Iterator[None]:
        """Show on a terminal that something is going on."""
        err = show.stderr()
        if self.as_json or not err.is_terminal:
            yield
        else:
            with err.status(show.text(sentence)):
                yield

    @contextmanager
    def transfer(self, sentence: str) -> "Iterator[ProgressListener]":
        """Show on a terminal how far the bytes are that what is yielded is told of."""
        err = show.stderr()
        if self.as_json or not err.is_terminal:
            yield ignore_progress
        else:
            from common_lib.cli.progress import bars  # noqa: PLC0415 - only who watches pays for it

            with bars(err, sentence) as report:
                yield report

    def close(self) -> None:
        """Close the connections, if there are any."""
        if "registry" in self.__dict__:
            self.registry.close()


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """A command that gets a `Session` first, out of the options for it."""

    @functools.wraps(command)
    def with_session(
        *,
        url: str,
        token: str | None,
        token_file: Path | None,
        fresh: bool,
        idempotency_key: str | None,
        as_json: bool,
        **arguments: Any,
    ) -> None:
        with reported(as_json=as_json):
            config = configured(url, found_token(token, token_file), fresh=fresh)
            session = Session(config, as_json=as_json, key=idempotency_key)
            try:
                command(session, **arguments)
            finally:
                session.close()

    for option in reversed(_OPTIONS):
        with_session = option(with_session)
    # The order of the panels in help: what is special about the command comes first.
    return click.option_panel("Options")(click.option_panel(_PANEL)(with_session))


def configured(url: str, token: str, *, fresh: bool) -> RegistryConfig:
    """The configuration in the environment, for that address and token.

    Whoever types a command wants to know what is so now: the registry is always asked, and what it said before is told
    only if it does not answer, with `fresh` not even then.
    """
    said_otherwise = {"REGISTRY_URL", "REGISTRY_TOKEN"}
    found = RegistryConfig.from_environment({key: os.environ[key] for key in os.environ.keys() - said_otherwise})
    resolve = None if fresh or found.resolve is None else replace(found.resolve, fresh_s=0.0, revalidate_s=0.0)
    return replace(found, url=url, token=token, resolve=resolve)


def found_token(token: str | None, file: Path | None, *, secret: bool = False) -> str:
    """The token that was given on the command line, in a file, or in `REGISTRY_TOKEN`, in this order.

    With `secret` the file must not be readable by other users.

    Raises:
        InvalidConfiguration: it was given twice, its file is empty or can be changed by others, or it is malformed.
    """
    if token and file:
        raise InvalidConfiguration("--token and --token-file are both given: give one")
    found = token or (_of_file(file, secret=secret) if file else os.environ.get("REGISTRY_TOKEN", ""))
    found = found.strip()
    if file and not found:
        raise InvalidConfiguration(f"{file} is empty: it should hold the token")
    # It would travel in a header; whatever complains there would show it.
    if not found.isascii() or not found.isprintable() or " " in found:
        raise InvalidConfiguration("the token has characters that no token has: it is not shown, look where it is from")
    return found


def _of_file(file: Path, *, secret: bool) -> str:
    try:
        return read_own(file, most_bytes=_MOST_BYTES, secret=secret).decode("utf-8", "replace")
    except OSError as why:
        raise InvalidConfiguration(f"the token cannot be read: {why}") from None


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
