"""Puts the application together from its parts (composition root): the only module that imports every layer."""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from litestar import Litestar, Router
from litestar.exceptions import HTTPException
from prometheus_client import CollectorRegistry

from common_lib.own_files import open_own, replace_own
from common_lib.rules.violation import RuleViolation
from registry_server.api import (
    aliases,
    approvals,
    artifacts,
    collection,
    events,
    health,
    lifecycle,
    models,
    openapi,
    policies,
    principals,
    problems,
    production,
    scrub_metrics,
    uploads,
    versions,
)
from registry_server.api.authentication import Authenticator
from registry_server.api.deadlines import Deadlines
from registry_server.api.head_and_options import HeadAndOptions
from registry_server.api.rate_limits import TokenBuckets, WriteQuota
from registry_server.api.resolve_shortcut import ResolveShortcut
from registry_server.api.strict_json import StrictJson
from registry_server.api.telemetry import RequestTelemetry
from registry_server.core import scrub, timeline
from registry_server.core import uploads as core_uploads
from registry_server.core.bootstrap import ensure_admin
from registry_server.core.collection import reconcile
from registry_server.core.environment import Environment
from registry_server.domain.errors import RegistryError
from registry_server.infrastructure.durable_blobs import sync_folder
from registry_server.infrastructure.filesystem_blobs import FilesystemBlobs
from registry_server.infrastructure.sqlite import SqliteDatabase
from registry_server.invariants import adoption, checks, store_marker
from registry_server.settings import Settings

_log = logging.getLogger(__name__)
_REPLAY_FOR = timedelta(hours=48)
_PRUNE_EVERY_S = 3600.0

HANDLERS = [
    models.search_models,
    models.create_model,
    models.get_model,
    models.update_model,
    models.tombstone_model,
    versions.list_versions,
    versions.create_version,
    versions.get_version,
    versions.update_version,
    versions.get_manifest,
    versions.diff_versions,
    versions.resolve_version,
    lifecycle.transition_version,
    versions.tombstone_version,
    lifecycle.recall_version,
    lifecycle.reinstate_version,
    production.roll_back_model,
    production.get_production,
    production.list_decisions,
    production.check_version,
    approvals.list_approvals,
    approvals.decide_version,
    policies.get_policy,
    policies.set_policy,
    aliases.list_aliases,
    aliases.get_alias,
    aliases.set_alias,
    aliases.delete_alias,
    artifacts.get_blob,
    artifacts.put_blob,
    artifacts.put_blobs,
    artifacts.check_presence,
    artifacts.verify_blob,
    uploads.begin_upload,
    uploads.get_upload,
    uploads.put_part,
    uploads.delete_upload,
    collection.collect_garbage,
    artifacts.get_file,
    events.list_events,
    principals.whoami,
    principals.list_principals,
    principals.create_principal,
    principals.get_principal,
    principals.update_principal,
    principals.issue_token,
    principals.list_tokens,
    principals.revoke_token,
]


class FolderInUse(RuntimeError):
    """The error if another process owns the data folder."""


def create_app(settings: Settings) -> Litestar:
    """Create the application. It opens and migrates its database when it starts, and closes the database when it stops.

    >>> from pathlib import Path
    >>> create_app(Settings(data=Path("/nowhere"), memory=True)).routes[0].path
    '/health/live'
    """
    metrics = CollectorRegistry()
    report = scrub.Report()
    scrub_metrics.register(report, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_environment(settings) as env:
            use_environment(app, env)
            tasks = [asyncio.create_task(work) for work in background_tasks(settings, env, report)]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    app = Litestar(
        route_handlers=[
            health.live,
            health.ready,
            health.metrics,
            openapi.get_document,
            Router("/v1", route_handlers=HANDLERS, dto=StrictJson, return_dto=None),
        ],
        lifespan=[lifespan],
        exception_handlers={
            RegistryError: problems.on_refusal,
            RuleViolation: problems.on_refusal,
            HTTPException: problems.on_framework,
            Exception: problems.on_crash,
        },
        openapi_config=openapi.CONFIG,
        request_max_body_size=settings.max_body_bytes,
        logging_config=None,
    )
    app.state.update({"settings": settings, "metrics": metrics, "scrub": report})
    inner = ResolveShortcut(HeadAndOptions(app.asgi_handler, app), app.state)
    app.asgi_handler = RequestTelemetry(Deadlines(inner), metrics, access_log=settings.access_log)
    return app


def use_environment(app: Litestar, env: Environment) -> None:
    """Store the environment in the application, with a new authenticator and new quotas for this environment."""
    app.state.env = env
    settings: Settings = app.state.settings
    failures = TokenBuckets(settings.wrong_tokens_per_min / 60, settings.wrong_tokens_per_min)
    app.state.authenticator = Authenticator(env.database, env.now, failures)
    app.state.write_quota = WriteQuota(settings.write_bytes_per_s, settings.write_burst_bytes, settings.max_body_bytes)


@contextlib.asynccontextmanager
async def open_environment(
    settings: Settings, *, adopt: bool = False, lost: bool = False
) -> AsyncIterator[Environment]:
    """Open the folder and database of the settings, and close them at the end.

    Before that, check the invariants, lock the folder, migrate the database, and create the first admin.

    With `adopt`, make folder and database one store, even if they belonged to different stores. With `lost`, do so even
    if the bytes are missing.

    Raises:
        FolderInUse: another process owns the data folder.
        InvariantBroken: folder, engine, database and bytes do not belong together, or other users can change the
            folder.
    """
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The parent folder may belong to another user, who created this folder and is responsible for its entry there.
    with contextlib.suppress(PermissionError):
        sync_folder(settings.data.parent)
    checks.require_folder(settings)
    with _lock(settings.data):
        checks.require_files(settings, adopt=adopt)
        # A database in memory has no folder that it could belong to.
        facts = None if settings.memory else await checks.require_store(settings, adopt=adopt, lost=lost)
        store = "" if facts is None else adoption.choose_store_id(facts, adopt=adopt)
        root = settings.data.absolute() / "blobs"
        blobs = FilesystemBlobs(
            root, medium_fault=(lambda: store_marker.blob_folder_fault(root, store)) if store else lambda: ""
        )
        blobs.open_store()
        database = _database(settings)
        await database.open()
        try:
            if facts is not None:
                await adoption.write_store_id(settings, database, facts, store, adopt=adopt)
            env = Environment(database, blobs, _now, _new_id, set())
            if read := await database.write(timeline.rebuild):
                _log.info("rebuilt the production history from %d events", read)
            await ensure_admin(env, settings.data / "admin-token", replace_own)
            if taken_back := await reconcile(env):
                _log.warning("restored %d blobs from the trash, where a crash had left them", taken_back)
            yield env
        finally:
            await database.close()


def _database(settings: Settings) -> Any:
    if settings.memory:
        return SqliteDatabase(None)
    if settings.database_url:
        from registry_server.infrastructure.postgres import PostgresDatabase  # noqa: PLC0415 - an extra may be absent

        return PostgresDatabase(settings.database_url)
    return SqliteDatabase(settings.data / "registry.sqlite3")


@contextlib.contextmanager
def _lock(folder: Path) -> Any:
    descriptor = open_own(folder / "lock")
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(
                f"another process owns {folder}: stop that process, use its HTTP API, or another folder with --data"
            ) from None
        yield
    finally:
        os.close(descriptor)


def background_tasks(settings: Settings, env: Environment, report: scrub.Report) -> Iterator[Coroutine[Any, Any, None]]:
    """Yield the background tasks, which run until the server stops. They wait only in `env.sleep`."""
    yield _prune(env)
    if settings.scrub_bytes_per_s:
        yield scrub.run(
            env,
            bytes_per_s=settings.scrub_bytes_per_s,
            pause_s=settings.scrub_pause_s,
            most_damaged=settings.scrub_most_damaged,
            report=report,
        )


async def _prune(env: Environment) -> None:
    while True:
        try:
            await env.database.write(lambda records: records.idempotency.delete_older(env.now() - _REPLAY_FOR))
            await core_uploads.delete_expired(env)
        except RegistryError:
            _log.warning("expired entries could not be deleted; the next attempt is in an hour", exc_info=True)
        await env.sleep(_PRUNE_EVERY_S)


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return os.urandom(16).hex()
