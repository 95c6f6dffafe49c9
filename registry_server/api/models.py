"""Endpoints for registered models: `/v1/models`."""

from datetime import datetime

from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from common_lib.rules.lifecycle import ModelStage, ModelType
from registry_server.api.authentication import authenticate
from registry_server.api.http import HttpRequest, database, entity_response, get, patch, post, write, write_with_rights
from registry_server.core import models
from registry_server.core.rights import Right
from registry_server.domain import errors
from registry_server.domain.base import Page, TombstoneRequest
from registry_server.domain.models import CreateModel, ModelFilter, RegisteredModel, UpdateModel
from registry_server.domain.pages import DEFAULT_LIMIT, Order


@get("/models")
async def search_models(
    request: HttpRequest,
    type: FromQuery[ModelType | None] = None,
    stage: FromQuery[ModelStage | None] = None,
    tag: FromQuery[list[str] | None] = None,
    owner: FromQuery[str | None] = None,
    prefix: FromQuery[str | None] = None,
    created_from: FromQuery[datetime | None] = None,
    created_before: FromQuery[datetime | None] = None,
    tombstoned: FromQuery[bool] = False,  # noqa: FBT002 - a query parameter
    order: FromQuery[Order] = Order.NAME,
    limit: FromQuery[int] = DEFAULT_LIMIT,
    page_token: FromQuery[str | None] = None,
) -> Response[Page[RegisteredModel]]:
    """Search registered models that fulfil all conditions; a tag is `key=value`, and `tag` may be repeated."""
    conditions = ModelFilter(
        type=type,
        stage=stage,
        tags=tuple(_tag(text) for text in tag or ()),
        owner=owner,
        prefix=prefix,
        created_from=_time(request, "created_from", created_from),
        created_before=_time(request, "created_before", created_before),
        tombstoned=tombstoned,
    )
    page = await models.search(
        database(request), await authenticate(request), conditions, order=order, limit=limit, page_token=page_token
    )
    return entity_response(request, page)


@post("/models", needs=(Right.REGISTER,))
async def create_model(request: HttpRequest, data: JSONBody[CreateModel]) -> Response[RegisteredModel]:
    """Create a model, which has no versions yet."""
    return await write_with_rights(request, ((Right.REGISTER, data.name),), models.create, data)


@get("/models/{name:str}")
async def get_model(request: HttpRequest, name: FromPath[str]) -> Response[RegisteredModel]:
    """Get a registered model."""
    return entity_response(request, await models.get(database(request), await authenticate(request), name))


@patch("/models/{name:str}", needs=(Right.EDIT,))
async def update_model(
    request: HttpRequest, name: FromPath[str], data: JSONBody[UpdateModel]
) -> Response[RegisteredModel]:
    """Change the owner, description, tags or metadata of a model."""
    return await write(request, models.update, name, data)


@post("/models/{name:str}/tombstone", status_code=200, needs=(Right.TOMBSTONE,))
async def tombstone_model(
    request: HttpRequest, name: FromPath[str], data: JSONBody[TombstoneRequest]
) -> Response[RegisteredModel]:
    """Take a model out of use permanently."""
    return await write(request, models.tombstone, name, data)


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise errors.ParameterInvalid("tag", text, "key=value", "it as tag=team=fx")
    return key, value


def _time(request: HttpRequest, field: str, time: datetime | None) -> datetime | None:
    # A bare number would be read as seconds since 1970, but 2026 is more likely a year.
    text = request.query_params.get(field, "")
    if time is not None and (time.tzinfo is None or "T" not in text.upper()):
        raise errors.ParameterInvalid(field, text, "a time with a time zone", "it as 2026-03-01T00:00:00Z")
    return time
