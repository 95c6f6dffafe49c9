"""What was in production at a moment, and all that was decided about a model."""

from datetime import datetime

import msgspec

from common_lib.rules import references
from common_lib.rules.lifecycle import ModelStage
from registry_server.core import models, pages, timeline, versions
from registry_server.core.ports import Database
from registry_server.core.rights import Caller
from registry_server.domain.base import Page
from registry_server.domain.errors import InvalidRequest, NotFound
from registry_server.domain.models import RegisteredModel
from registry_server.domain.pages import Window
from registry_server.domain.production import Decision, InProduction, Tenure
from registry_server.domain.versions import ModelVersion


async def history(
    database: Database, caller: Caller, name: str, *, limit: int, page_token: str | None
) -> Page[Decision]:
    """One page of the decisions about a model, the newest first."""
    await models.get(database, caller, name)
    of = ("decisions", name)
    window = pages.window(limit, page_token, of, tuple[pages.LogSequence])

    async def fetch(part: Window) -> list[Decision]:
        events = await database.read.timeline.list_decisions(name, part)
        return [await timeline.decision(database.read, event) for event in events]

    return await pages.collect(fetch, window, of, lambda row: (row.sequence,))


async def at(database: Database, caller: Caller, name: str, moment: datetime | None, now: datetime) -> InProduction:
    """What was in production at a moment, by default now, and who decided it."""
    model = await models.get(database, caller, name)
    if moment is None:
        tenure = await database.read.timeline.find_last(name)
        moment = now if tenure is None else max(now, tenure.since)
    else:
        tenure = await _tenure(database, model, moment, now)
    if tenure is None:
        return InProduction(name, moment, None, model.created_at, None, None, None, "")
    told = await timeline.decision(database.read, await timeline.event_at(database.read, tenure.sequence))
    return InProduction(name, moment, tenure.version, tenure.since, tenure.sequence, told.what, told.by, told.reason)


async def resolve(
    database: Database, caller: Caller, name: str, selector: str, *, moment: datetime, now: datetime
) -> ModelVersion:
    """The version that was in production at a moment, as it was when it came there: nothing later is told.

    What is recalled now is refused for every moment.

    Raises:
        NotFound: none was.
    """
    references.check_has_history(selector)
    model = await models.get(database, caller, name)
    tenure = await _tenure(database, model, moment, now)
    found = None
    if tenure is not None and tenure.version is not None and model.tombstone is None:
        found = await database.read.versions.find(name, tenure.version)
    if tenure is None or found is None or found.tombstone is not None:
        raise NotFound(
            f"model {name!r} had no version in production at {references.written(moment)} that can be used",
            remedy="its history shows what was in production when; a tombstoned version is not given any more",
            field="as_of",
            value=references.written(moment),
            code="version_not_found",
        )
    versions.refuse_recalled(found)
    facts = msgspec.structs.asdict(msgspec.convert(tenure.facts, _Facts))
    return msgspec.structs.replace(found, stage=ModelStage.PRODUCTION, **facts)


class _Facts(msgspec.Struct):
    description: str
    tags: dict[str, str]
    revision: int
    updated_at: datetime


async def _tenure(database: Database, model: RegisteredModel, moment: datetime, now: datetime) -> Tenure | None:
    """The tenure that held at a moment, which must be one of the model's life.

    Raises:
        InvalidRequest: it is before the model began, or in the future.
    """
    if moment > now:
        why, remedy = "is in the future", f"ask for a moment that has passed: it is {references.written(now)}"
    elif moment < model.created_at:
        begin = references.written(model.created_at)
        why, remedy = f"is before model {model.name!r} began", f"it was created at {begin}: ask from there on"
    else:
        if not await database.read.events.has_passed(moment):
            # A decision under way may have its time already; once it is told of, the past does not change.
            await database.write(lambda records: records.events.close_time(now))
        return await database.read.timeline.find_at(model.name, moment)
    raise InvalidRequest(
        f"{references.written(moment)} {why}",
        remedy=remedy,
        field="as_of",
        value=references.written(moment),
        code="as_of_out_of_range",
    )
