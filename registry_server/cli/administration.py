"""Opens the registry for the operator's commands: through the running server, or directly in the data folder."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

from common_lib.cli.session import read_token
from common_lib.client.http_registry import HttpRegistry
from common_lib.config import RegistryConfig
from common_lib.errors import InvalidConfiguration
from common_lib.own_files import UnsafeFile
from common_lib.registry import ModelRegistry
from registry_server.app import FolderInUse
from registry_server.cli.options import fail
from registry_server.cli.schema import FAILURES, read_pending_steps
from registry_server.inprocess import open_as_owner
from registry_server.invariants import checks
from registry_server.invariants.findings import InvariantBroken
from registry_server.serving import Announcement
from registry_server.settings import Settings

# The server responds when a collection is complete, and a large collection takes long.
_COLLECTING_S = 3_600.0


@contextlib.contextmanager
def open_registry(
    settings: Settings, url: str | None, token_file: Path | None, *, force: bool = False
) -> Iterator[ModelRegistry]:
    """Open the registry as an admin: at `url`, through the server that uses the data folder, or in the folder.

    With `force`, a change may leave the registry without an admin. This works only while no server runs on the folder.

    Raises:
        InvalidConfiguration: the folder does not contain a registry, or the token is missing.
    """
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(
            _connect(url, read_token(None, token_file)) if url else _open_folder(settings, token_file, force=force)
        )


def _connect(url: str, token: str) -> HttpRegistry:
    if not token:
        # The admin token of a local folder must not be sent: the address may belong to anybody.
        raise InvalidConfiguration("give the token of an admin of that registry with --token-file or REGISTRY_TOKEN")
    return HttpRegistry(RegistryConfig(url=url, token=token, blob_timeout_s=_COLLECTING_S, resolve=None))


@contextlib.contextmanager
def _open_folder(settings: Settings, token_file: Path | None, *, force: bool) -> Iterator[ModelRegistry]:
    try:
        checks.require_engine(settings)
    except InvariantBroken as error:
        fail(str(error))
    if not settings.database_url and not (settings.data / "registry.sqlite3").exists():
        # A mistyped folder must not become a new registry.
        raise InvalidConfiguration(
            f"{settings.data} does not contain a registry: give the folder of a registry with --data, "
            "or create one with `registry-server serve`"
        )
    with contextlib.ExitStack() as stack:
        try:
            asyncio.run(read_pending_steps(settings))
            registry = stack.enter_context(open_as_owner(settings, force=force))
        except FolderInUse as busy:
            registry = stack.enter_context(_connect_to_owner(settings.data, token_file, busy))
        except FAILURES as failure:
            fail(str(failure))
        yield registry


def _connect_to_owner(data: Path, token_file: Path | None, busy: FolderInUse) -> HttpRegistry:
    try:
        announced = Announcement.read(data)
    except UnsafeFile as error:
        fail(f"{error}, or give the address of the registry with --url")
    if announced is None:
        fail(f"{busy}; if it is a server, give its address with --url")
    file = token_file or data / "admin-token"
    if not file.exists():
        raise InvalidConfiguration(
            f"a server runs on {data}, but {file} does not exist: give the token of an admin with --token-file, "
            "or stop the server; then no token is needed"
        )
    return _connect(announced.url, read_token(None, file, secret=token_file is None))
