"""Endpoints for versions and for resolving references: `/v1/models/{name}/versions` and `/v1/models/{name}/resolve`."""

from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from common_lib.rules.comparison import VersionDiff
from common_lib.rules.lifecycle import ModelStage
from common_lib.rules.references import parse_moment
from registry_server.api.authentication import authenticate
from registry_server.api.http import HttpRequest, database, entity_response, environment, get, patch, post, write
from registry_server.core import references, registration, versions
from registry_server.core.rights import Right
from registry_server.domain.artifacts import Manifest
from registry_server.domain.base import Page, TombstoneRequest
from registry_server.domain.pages import DEFAULT_LIMIT, Order
from registry_server.domain.versions import CreateVersion, ModelVersion, UpdateVersion, VersionFilter


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
    """List the versions of a model, newest first."""
    conditions = VersionFilter(stage, tombstoned)
    who, records = await authenticate(request), database(request)
    page = await versions.list_page(records, who, name, conditions, order=order, limit=limit, page_token=page_token)
    return entity_response(request, page)


@post("/models/{name:str}/versions", needs=(Right.REGISTER,), large=True)
async def create_version(
    request: HttpRequest, name: FromPath[str], data: JSONBody[CreateVersion]
) -> Response[ModelVersion]:
    """Register a version. It gets the next number; its files must already be stored."""
    checked = await registration.validate(await authenticate(request), name, data)
    return await write(request, registration.create, name, checked)


@get("/models/{name:str}/versions/{version:int}")
async def get_version(request: HttpRequest, name: FromPath[str], version: FromPath[int]) -> Response[ModelVersion]:
    """Get a version."""
    return entity_response(request, await versions.get(database(request), await authenticate(request), name, version))


@patch("/models/{name:str}/versions/{version:int}", needs=(Right.EDIT,))
async def update_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[UpdateVersion]
) -> Response[ModelVersion]:
    """Change the description or tags of a version."""
    return await write(request, versions.update, name, version, data)


@get("/models/{name:str}/versions/{version:int}/manifest")
async def get_manifest(request: HttpRequest, name: FromPath[str], version: FromPath[int]) -> Response[Manifest]:
    """List the files of a version."""
    found = await versions.get_manifest(database(request), await authenticate(request), name, version)
    return entity_response(request, found)


@get("/models/{name:str}/versions/{version:int}/diff/{other:int}")
async def diff_versions(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], other: FromPath[int]
) -> Response[VersionDiff]:
    """Compare a version with another version of the same model."""
    found = await versions.diff(database(request), await authenticate(request), name, version, other)
    return entity_response(request, found)


@get("/models/{name:str}/resolve/{selector:str}")
async def resolve_version(
    request: HttpRequest, name: FromPath[str], selector: FromPath[str], as_of: FromQuery[str | None] = None
) -> Response[ModelVersion]:
    """Resolve a selector to a version: a number, `@alias`, a stage, or `latest`.

    For production, `as_of` selects a time in the past.
    """
    who = await authenticate(request)
    if as_of is None:
        return entity_response(request, await references.resolve(database(request), who, name, selector))
    moment, now = parse_moment("as_of", as_of), environment(request).now()
    found = await references.resolve_as_of(database(request), who, name, selector, moment=moment, now=now)
    return entity_response(request, found)


@post("/models/{name:str}/versions/{version:int}/tombstone", status_code=200, needs=(Right.TOMBSTONE,))
async def tombstone_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[TombstoneRequest]
) -> Response[ModelVersion]:
    """Take a version out of use permanently."""
    return await write(request, versions.tombstone, name, version, data)
