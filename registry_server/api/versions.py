"""`/v1/models/{name}/versions` and `/v1/models/{name}/resolve`."""

from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from common_lib.rules.lifecycle import ModelStage
from registry_server.api.exchange import HttpRequest, database, get, patch, post, shown, write
from registry_server.api.security import caller
from registry_server.core import registration, versions
from registry_server.domain.artifacts import Manifest
from registry_server.domain.base import Page, TombstoneRequest
from registry_server.domain.pages import DEFAULT_LIMIT, Order
from registry_server.domain.versions import (
    CreateVersion,
    ModelVersion,
    TransitionRequest,
    UpdateVersion,
    VersionFilter,
)


@get("/models/{name:str}/versions")
async def list_versions(
    request: HttpRequest,
    name: FromPath[str],
    stage: FromQuery[ModelStage | None] = None,
    tombstoned: FromQuery[bool] = False,  # noqa: FBT002 - a query parameter
    order: FromQuery[Order] = Order.VERSION_DOWN,
    limit: FromQuery[int] = DEFAULT_LIMIT,
    page_token: FromQuery[str | None] = None,
) -> Response[Page[ModelVersion]]:
    """Versions of a model, the newest first."""
    conditions = VersionFilter(stage, tombstoned)
    page = await versions.search(
        database(request), await caller(request), name, conditions, order=order, limit=limit, page_token=page_token
    )
    return shown(request, page)


@post("/models/{name:str}/versions")
async def create_version(
    request: HttpRequest, name: FromPath[str], data: JSONBody[CreateVersion]
) -> Response[ModelVersion]:
    """Give the next number to files whose bytes are here."""
    return await write(request, registration.create, name, await registration.check(await caller(request), name, data))


@get("/models/{name:str}/versions/{version:int}")
async def get_version(request: HttpRequest, name: FromPath[str], version: FromPath[int]) -> Response[ModelVersion]:
    """One version."""
    return shown(request, await versions.get(database(request), await caller(request), name, version))


@patch("/models/{name:str}/versions/{version:int}")
async def update_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[UpdateVersion]
) -> Response[ModelVersion]:
    """Change description or tags."""
    return await write(request, versions.update, name, version, data)


@get("/models/{name:str}/versions/{version:int}/manifest")
async def get_manifest(request: HttpRequest, name: FromPath[str], version: FromPath[int]) -> Response[Manifest]:
    """The files of a version."""
    return shown(request, await versions.manifest_of(database(request), await caller(request), name, version))


@post("/models/{name:str}/versions/{version:int}/transition", status_code=200)
async def transition_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[TransitionRequest]
) -> Response[ModelVersion]:
    """Move a version to another stage."""
    return await write(request, versions.transition, name, version, data)


@post("/models/{name:str}/versions/{version:int}/tombstone", status_code=200)
async def tombstone_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[TombstoneRequest]
) -> Response[ModelVersion]:
    """Take a version out of use for good."""
    return await write(request, versions.tombstone, name, version, data)


@get("/models/{name:str}/resolve/{selector:str}")
async def resolve_version(request: HttpRequest, name: FromPath[str], selector: FromPath[str]) -> Response[ModelVersion]:
    """The version that a selector means now: digits, `@alias`, a stage, or `latest`."""
    return shown(request, await versions.resolve(database(request), await caller(request), name, selector))
