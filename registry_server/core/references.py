"""References: find the version to which a selector refers, now or at a given time in the past."""

from datetime import datetime

import msgspec

from common_lib.rules import names, references
from common_lib.rules.lifecycle import ModelStage, OnRecall
from registry_server.core import models, timeline, versions
from registry_server.core.ports import Database
from registry_server.core.rights import Caller, Right
from registry_server.domain import errors
from registry_server.domain.versions import ModelVersion
from registry_server.queries import Records


async def resolve(database: Database, caller: Caller, name: str, selector: str) -> ModelVersion:
    """Return the version to which a selector refers now: a number, `@alias`, a stage (its newest version), or `latest`.

    Raises:
        NothingSelected: the version does not exist or cannot be used.
        VersionRecalled: the version is recalled, and the policy of the model does not skip recalled versions.
    """
    caller.check_right(Right.READ, name)
    read = database.read.versions
    if selector == "production":
        version = await read.find_in_production(name)
    elif selector.startswith("@"):
        version = await read.find_by_alias(name, names.check_alias(selector[1:]))
    elif (number := references.parse_version_number(selector)) is not None:
        version = await read.find(name, number)
    else:
        references.check_selector(selector)
        version = await read.find_newest(name, None if selector == "latest" else ModelStage(selector))
    # A model in production has no tombstone, so the most frequent request needs no second query.
    if version is not None and version.recall is None and version.stage is ModelStage.PRODUCTION:
        return version
    return await _require_usable(database, name, selector, version)


async def resolve_as_of(
    database: Database, caller: Caller, name: str, selector: str, *, moment: datetime, now: datetime
) -> ModelVersion:
    """Return the version that was in production at `moment`, with the fields that it had when that tenure began.

    A version that is recalled now is refused, even if it was not recalled at `moment`.

    Raises:
        NothingInProductionThen: production was empty, or the version cannot be used now.
        VersionRecalled: the version is recalled.
    """
    references.check_has_history(selector)
    model = await models.get(database, caller, name)
    tenure = await timeline.find_tenure(database, model, moment, now)
    found = None
    if tenure is not None and tenure.version is not None and model.tombstone is None:
        found = await database.read.versions.find(name, tenure.version)
    if tenure is None or found is None or found.tombstone is not None:
        raise errors.NothingInProductionThen(name, moment)
    versions.check_not_recalled(found)
    facts = msgspec.structs.asdict(msgspec.convert(tenure.facts, _Facts))
    return msgspec.structs.replace(found, stage=ModelStage.PRODUCTION, **facts)


class _Facts(msgspec.Struct):
    description: str
    tags: dict[str, str]
    revision: int
    updated_at: datetime


async def _require_usable(database: Database, name: str, selector: str, version: ModelVersion | None) -> ModelVersion:
    """Return the version if it is usable. If it is recalled and the policy allows a substitute, return the substitute.

    If neither is usable, raise an error.
    """
    model = await database.read.models.find(name)
    if model is None:
        raise errors.ModelNotFound(name)
    if version is not None and version.recall is not None and _is_moving(selector) and model.tombstone is None:
        policy = await database.read.policies.find(name)
        if policy is not None and policy.rules.on_recall is OnRecall.SKIP:
            substitute = await _find_substitute(database.read, name, selector)
            version = substitute or version
    if version is None or version.tombstone is not None or model.tombstone is not None:
        raise errors.NothingSelected(name, selector)
    versions.check_not_recalled(version)
    return version


def _is_moving(selector: str) -> bool:
    """Return whether a selector is a stage or `latest`, which may select another version after any change."""
    return not selector.startswith("@") and references.parse_version_number(selector) is None


async def _find_substitute(records: Records, name: str, selector: str) -> ModelVersion | None:
    if selector == "production":
        rollback = await timeline.find_rollback(records, name)
        return None if rollback is None else rollback[1]
    return await records.versions.find_newest(
        name, None if selector == "latest" else ModelStage(selector), recalled=False
    )
