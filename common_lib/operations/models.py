"""Operations on registered models."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from common_lib.operations.answers import about
from common_lib.operations.base import (
    Operation,
    json_reader,
    one_of,
    path,
    query,
    request_body,
    validate,
    write_headers,
)
from common_lib.rules.fields import Scalar
from common_lib.rules.lifecycle import ModelStage, ModelType
from common_lib.rules.names import check_model_name
from common_lib.scalars import scalars, texts
from common_lib.types.base import Page, TombstoneRequest
from common_lib.types.models import CreateModel, RegisteredModel, UpdateModel

ModelOrder = Literal["name", "-name", "created_at", "-created_at"]
_model = json_reader(RegisteredModel)
_page = json_reader(Page[RegisteredModel])


def get(name: str) -> Operation[RegisteredModel]:
    """Get a registered model, even if it is tombstoned.

    Raises:
        ModelNotFound: the model does not exist, or the caller may not read it.
    """
    return Operation("GET", path("models", validate(check_model_name, name)), about(_model, name=name))


def create(
    name: str,
    type: ModelType | str,
    *,
    owner: str | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, Scalar] | None = None,
) -> Operation[RegisteredModel]:
    """Create a registered model. Upper and lower case do not make names different, and a name is never used again.

    Without `owner`, the caller is the owner.

    Raises:
        AlreadyExists: the name is already in use.
    """
    body = request_body(
        CreateModel,
        name=validate(check_model_name, name),
        type=one_of("type", ModelType, type),
        owner=owner,
        description=description,
        tags=texts("tags", tags),
        metadata=scalars("metadata", metadata),
    )
    return Operation("POST", path("models"), about(_model, name=name), "write", body=body, headers=write_headers())


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
    """Replace the given fields of a model if it still has the given revision, or in any case with `force` and a reason.

    Raises:
        RevisionRequired: neither `revision` nor `force` was given.
        RevisionMismatch: somebody changed the model in the meantime.
    """
    facts = {
        "owner": owner,
        "description": description,
        "tags": texts("tags", tags),
        "metadata": scalars("metadata", metadata),
    }
    body = request_body(UpdateModel, **facts, reason=reason or None)
    target = path("models", validate(check_model_name, name))
    return Operation(
        "PATCH", target, about(_model, name=name), "write", body=body, headers=write_headers(revision, force=force)
    )


def tombstone(
    name: str, *, reason: str, revision: int | None = None, force: bool = False
) -> Operation[RegisteredModel]:
    """Take a model out of use permanently; its versions cannot be resolved after this.

    Raises:
        InUse: a version is in production.
    """
    target = path("models", validate(check_model_name, name), "tombstone")
    body = request_body(TombstoneRequest, reason=reason)
    return Operation(
        "POST", target, about(_model, name=name), "write", body=body, headers=write_headers(revision, force=force)
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
    """Search registered models that meet all given conditions, page by page.

    `stage` selects models that have a version in this stage. Times need a time zone. A minus in `order` means
    descending.

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
