"""How operator's tools reach the records: through the server that owns the data folder, or by owning it themselves."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

from common_lib.cli.session import found_token
from common_lib.client.http_registry import HttpRegistry
from common_lib.config import RegistryConfig
from common_lib.errors import InvalidConfiguration
from common_lib.own_files import UnsafeFile
from common_lib.registry import ModelRegistry
from registry_server.app import FolderInUse
from registry_server.cli.options import fail
from registry_server.cli.schema import FAILURES, look
from registry_server.inprocess import owned
from registry_server.invariants import checks
from registry_server.invariants.findings import InvariantBroken
from registry_server.serving import Announcement
from registry_server.settings import Settings

# A collection answers when it is done, and a large one takes its time.
_COLLECTING_S = 3_600.0


@contextlib.contextmanager
def administration(
    settings: Settings, url: str | None, token_file: Path | None, *, force: bool = False
) -> Iterator[ModelRegistry]:
    """An admin's registry: at `url`, or on the data folder, whoever owns it.

    With `force` a change may leave the registry without an admin, but only while no server runs on the folder.

    Raises:
        InvalidConfiguration: there is no registry in the folder, or no token for it.
    """
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(
            _at(url, found_token(None, token_file)) if url else _on(settings, token_file, force=force)
        )


def _at(url: str, token: str) -> HttpRegistry:
    if not token:
        # Never the token of a folder that happens to be here: the address may be anybody's.
        raise InvalidConfiguration("give the token of an admin of that registry by --token-file or REGISTRY_TOKEN")
    return HttpRegistry(RegistryConfig(url=url, token=token, blob_timeout_s=_COLLECTING_S, resolve=None))


@contextlib.contextmanager
def _on(settings: Settings, token_file: Path | None, *, force: bool) -> Iterator[ModelRegistry]:
    try:
        checks.require_engine(settings)
    except InvariantBroken as why:
        fail(str(why))
    if not settings.database_url and not (settings.data / "registry.sqlite3").exists():
        # A folder named by mistake must not become a registry.
        raise InvalidConfiguration(
            f"there is no registry in {settings.data}: name its folder by --data; `registry-server serve` makes one"
        )
    with contextlib.ExitStack() as stack:
        try:
            asyncio.run(look(settings))
            registry = stack.enter_context(owned(settings, force=force))
        except FolderInUse as busy:
            registry = stack.enter_context(_running(settings.data, token_file, busy))
        except FAILURES as failure:
            fail(str(failure))
        yield registry


def _running(data: Path, token_file: Path | None, busy: FolderInUse) -> HttpRegistry:
    try:
        announced = Announcement.read(data)
    except UnsafeFile as why:
        fail(f"{why}, or give the address of the registry by --url")
    if announced is None:
        fail(f"{busy}; if it serves, give its address by --url")
    file = token_file or data / "admin-token"
    if not file.exists():
        raise InvalidConfiguration(
            f"a server runs on {data}, and {file} is not there: give the token of an admin by --token-file, "
            "or stop the server, and no token is needed"
        )
    return _at(announced.url, found_token(None, file, secret=token_file is None))
