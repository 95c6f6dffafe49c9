"""Use cases for registered models: create, get, search, update and tombstone them."""

from functools import partial
from typing import Any

import msgspec

from common_lib.rules import lifecycle, names
from common_lib.rules.codes import Code
from common_lib.rules.facts import check_facts, check_unique
from registry_server.core import changes, pages
from registry_server.core.ports import Database
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import Outcome, WriteRequest
from registry_server.domain import errors
from registry_server.domain.base import ModelName, Page, Tombstone, TombstoneRequest, to_micros
from registry_server.domain.models import CreateModel, ModelFilter, RegisteredModel, UpdateModel
from registry_server.domain.pages import Order
from registry_server.queries import Records

ORDERS = (Order.NAME, Order.NAME_DOWN, Order.CREATED, Order.CREATED_DOWN)
_NAMED = tuple[ModelName]
_CREATED = tuple[pages.Micros, ModelName]


def key(name: str) -> str:
    """Return the key that identifies a model in events."""
    return f"models/{name}"


async def get(database: Database, caller: Caller, name: str) -> RegisteredModel:
    """Return the model with that name, even if it has a tombstone."""
    caller.check_right(Right.READ, name)
    model = await database.read.models.find(name)
    if model is None:
        raise errors.ModelNotFound(name)
    return model


async def search(
    database: Database, caller: Caller, conditions: ModelFilter, *, order: Order, limit: int, page_token: str | None
) -> Page[RegisteredModel]:
    """Return one page of the models that fulfil all conditions and that the caller may read."""
    caller.check_right(Right.READ)
    if order not in ORDERS:
        raise errors.OrderNotSupported("models", order, ORDERS)
    _check_conditions(conditions)
    if (visible := caller.covered_patterns(Right.READ)) != ("*",):
        conditions = msgspec.structs.replace(conditions, visible=visible)
    scope = ("models", conditions, order)
    window = pages.window(limit, page_token, scope, _NAMED if order.key == "name" else _CREATED)

    def place(model: RegisteredModel) -> tuple[str | int, ...]:
        return (model.name,) if order.key == "name" else (to_micros(model.created_at), model.name)

    return await pages.collect(partial(database.read.models.search, conditions, order), window, scope, place)


async def create(records: Records, request: WriteRequest, command: CreateModel) -> Outcome[RegisteredModel]:
    """Create a model. No other model can ever get its name, not even with other upper and lower case."""
    request.caller.check_right(Right.REGISTER, command.name)
    owner = command.owner or request.caller.name
    check_facts(owner=owner, description=command.description, tags=command.tags, metadata=command.metadata)
    model = RegisteredModel(
        name=command.name,
        type=command.type,
        owner=owner,
        description=command.description,
        tags=command.tags,
        metadata=command.metadata,
        latest_version=0,
        production_version=None,
        revision=1,
        created_by=request.caller.name,
        created_at=request.at,
        updated_at=request.at,
        tombstone=None,
    )
    if not await records.models.insert(model):
        existing = await records.models.find_ignoring_case(command.name)
        raise errors.ModelExists(command.name, existing)
    change = changes.created("model.created", key(model.name), model)
    return Outcome(model, change, status=201, location=f"/v1/models/{model.name}")


async def update(records: Records, request: WriteRequest, name: str, command: UpdateModel) -> Outcome[RegisteredModel]:
    """Change the owner, description, tags or metadata of a model."""
    model = await get_for_update(records, request, Right.EDIT, name)
    request.check_revision(model.revision, command.reason)
    fields = provided_fields(command)
    check_facts(**fields)
    changed = {field: value for field, value in fields.items() if getattr(model, field) != value}
    if not changed:
        return Outcome(model, None)
    return await _replace(records, request, model, "model.updated", reason=command.reason, **changed)


async def tombstone(
    records: Records, request: WriteRequest, name: str, command: TombstoneRequest
) -> Outcome[RegisteredModel]:
    """Take a model out of use permanently.

    Its versions cannot be resolved any more, and no other model can get its name.
    """
    model = await get_for_update(records, request, Right.TOMBSTONE, name)
    request.check_revision(model.revision, command.reason)
    lifecycle.check_reason(command.reason, "a tombstone")
    # This query follows the lock: PostgreSQL computes derived columns of a row before it waits for the lock.
    incumbent = await records.versions.find_in_production(name)
    if incumbent is not None:
        raise errors.ModelInProduction(name, incumbent.version)
    mark = Tombstone(request.at, request.caller.name, command.reason)
    return await _replace(records, request, model, "model.tombstoned", reason=command.reason, tombstone=mark)


async def get_for_update(records: Records, request: WriteRequest, right: Right, name: str) -> RegisteredModel:
    """Lock a model until the transaction ends, and return it. The caller must have the given right on it.

    Raises:
        ModelNotFound, RightMissing: the caller may not read the model, or lacks the right.
        ModelTombstoned: the model has a tombstone.
    """
    request.caller.check_right(right, name)
    model = await records.models.lock(name)
    if model is None:
        raise errors.ModelNotFound(name)
    check_not_tombstoned(model)
    return model


async def get_usable(records: Records, caller: Caller, right: Right, name: str) -> RegisteredModel:
    """Return a model without a tombstone; do not lock it. The caller must have the given right on it.

    Raises:
        ModelNotFound, RightMissing: the caller may not read the model, or lacks the right.
        ModelTombstoned: the model has a tombstone.
    """
    caller.check_right(right, name)
    model = await records.models.find(name)
    if model is None:
        raise errors.ModelNotFound(name)
    check_not_tombstoned(model)
    return model


def check_not_tombstoned(model: RegisteredModel) -> None:
    """Check that a model has no tombstone.

    Raises:
        ModelTombstoned: the model has a tombstone, whose reason the error contains.
    """
    if model.tombstone is not None:
        raise errors.ModelTombstoned(model.name, model.tombstone)


def provided_fields(command: msgspec.Struct) -> dict[str, Any]:
    """Return the fields that an update request contains, with their new values."""
    fields = {name: getattr(command, name) for name in command.__struct_fields__ if name != "reason"}
    return {name: value for name, value in fields.items() if value is not msgspec.UNSET}


def _check_conditions(conditions: ModelFilter) -> None:
    """Check that the values in the conditions are valid for models; a database engine may reject other texts."""
    if conditions.owner is not None:
        names.check_text("owner", conditions.owner, names.SHORT_TEXT_LENGTH)
    if conditions.prefix:
        names.check_model_prefix(conditions.prefix)
    keys = [key for key, _ in conditions.tags]
    names.check_keys("tag", keys, limit=names.MAX_TAGS)
    check_unique("tag", keys, "is in the query twice", code=Code.DUPLICATE_ENTRY)
    for key, value in conditions.tags:
        names.check_tags({key: value})


async def _replace(
    records: Records, request: WriteRequest, model: RegisteredModel, kind: str, reason: str = "", **changed: Any
) -> Outcome[RegisteredModel]:
    after = msgspec.structs.replace(model, revision=model.revision + 1, updated_at=request.at, **changed)
    if not await records.models.update(model, after):
        raise errors.ChangedMeanwhile("model")
    change = changes.changed(kind, (key(model.name), model, after), reason=reason, forced=request.forced)
    return Outcome(after, change)
