"""Registered models."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from common_lib.operations.answers import about
from common_lib.operations.base import Operation, checked, given, one_of, path, query, reads, unsafe
from common_lib.rules.fields import Scalar
from common_lib.rules.lifecycle import ModelStage, ModelType
from common_lib.rules.names import check_model_name
from common_lib.scalars import scalars, texts
from common_lib.types.base import Page, TombstoneRequest
from common_lib.types.models import CreateModel, RegisteredModel, UpdateModel

ModelOrder = Literal["name", "-name", "created_at", "-created_at"]
_model = reads(RegisteredModel)
_page = reads(Page[RegisteredModel])


def get(name: str) -> Operation[RegisteredModel]:
    """The registered model of that name, tombstoned or not.

    Raises:
        ModelNotFound: there is none, or none that the caller may read.
    """
    return Operation("GET", path("models", checked(check_model_name, name)), about(_model, name=name))


def create(
    name: str,
    type: ModelType | str,
    *,
    owner: str | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, Scalar] | None = None,
) -> Operation[RegisteredModel]:
    """A new registered model; its name is unique also without regard to capitals, and never given again.

    Without `owner` the caller owns it.

    Raises:
        AlreadyExists: the name is taken.
    """
    body = given(
        CreateModel,
        name=checked(check_model_name, name),
        type=one_of("type", ModelType, type),
        owner=owner,
        description=description,
        tags=texts("tags", tags),
        metadata=scalars("metadata", metadata),
    )
    return Operation("POST", path("models"), about(_model, name=name), "write", body=body, headers=unsafe())


def update(
    name: str,
    *,
    revision: int | None = None,
    force: bool = False,
    reason: str = "",
    owner: str | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, Scalar] | None = None,
) -> Operation[RegisteredModel]:
    """The model with the given fields replaced, if it still is at that revision; `force` needs a reason instead.

    Raises:
        RevisionRequired: neither `revision` nor `force` was given.
        RevisionMismatch: somebody changed it in between.
    """
    facts = {
        "owner": owner,
        "description": description,
        "tags": texts("tags", tags),
        "metadata": scalars("metadata", metadata),
    }
    body = given(UpdateModel, **facts, reason=reason or None)
    target = path("models", checked(check_model_name, name))
    return Operation(
        "PATCH", target, about(_model, name=name), "write", body=body, headers=unsafe(revision, force=force)
    )


def tombstone(
    name: str, *, reason: str, revision: int | None = None, force: bool = False
) -> Operation[RegisteredModel]:
    """The model, taken out of use for good; its versions are not resolved any more.

    Raises:
        InUse: a version is in production.
    """
    target = path("models", checked(check_model_name, name), "tombstone")
    body = given(TombstoneRequest, reason=reason)
    return Operation(
        "POST", target, about(_model, name=name), "write", body=body, headers=unsafe(revision, force=force)
    )


def search(
    *,
    type: ModelType | str | None = None,
    stage: ModelStage | str | None = None,
    tags: Mapping[str, str] | None = None,
    owner: str | None = None,
    prefix: str | None = None,
    created_from: datetime | None = None,
    created_before: datetime | None = None,
    tombstoned: bool = False,
    order: ModelOrder = "name",
    page_size: int = 100,
) -> Operation[Page[RegisteredModel]]:
    """The registered models that fulfil all conditions, a page at a time.

    `stage` finds models with a version in that stage; times must have a time zone; a minus in `order` sorts down.

    Example:
        >>> search(type="forecasting", tags={"team": "fx"}).query[:2]
        (('type', 'forecasting'), ('tag', 'team=fx'))
    """
    conditions = query(
        type=None if type is None else one_of("type", ModelType, type),
        stage=None if stage is None else one_of("stage", ModelStage, stage),
        tag=[f"{key}={value}" for key, value in (texts("tags", tags) or {}).items()],
        owner=owner,
        prefix=prefix or None,
        created_from=None if created_from is None else created_from.isoformat(),
        created_before=None if created_before is None else created_before.isoformat(),
        tombstoned=tombstoned,
        order=order,
        limit=page_size,
    )
    return Operation("GET", path("models"), _page, query=conditions)
