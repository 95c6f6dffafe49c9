"""The timeline of a model: its tenures and its decisions, both derived from the log.

A tenure is a period during which one version, or no version, was in production.
"""

import json
import re
from datetime import datetime
from typing import Any

from common_lib.rules.lifecycle import DECISIONS, ModelStage
from common_lib.rules.production import Decision, StageChange, Winner
from registry_server.core import changes
from registry_server.core.ports import Database
from registry_server.domain import errors, timeline
from registry_server.domain.events import Change, Event
from registry_server.domain.models import RegisteredModel
from registry_server.domain.pages import Window
from registry_server.domain.production import Tenure
from registry_server.domain.versions import ModelVersion
from registry_server.queries import Records

# The number of latest decisions in which `find_winner` searches.
_SEARCHED = 100
_PAGE = 1_000


async def record(records: Records, change: Change, sequence: int, at: datetime) -> None:
    """Store the decision and the new tenure that result from an event, in the transaction that appends the event."""
    model = timeline.parse_model(change.subject)
    if model is None:
        return
    if change.type in DECISIONS:
        await records.timeline.insert_decision(model, sequence)
    entered = timeline.find_production_key(change.after)
    if entered or timeline.find_production_key(change.before):
        version = None if entered is None else timeline.parse_version(entered)
        restored = await records.timeline.find(change.basis["restored"]) if "restored" in change.basis else None
        tenure = Tenure(
            model=model,
            since=at,
            sequence=sequence,
            version=version,
            rollback_target=timeline.rollback_target(await records.timeline.find_last(model), restored),
            facts=await _get_facts(records, model, version),
        )
        await records.timeline.insert(tenure)


async def rebuild(records: Records) -> int:
    """Rebuild tenures and decisions from the log if the database has none yet; return the number of events read."""
    if not await records.timeline.needs_rebuild():
        return 0
    bodies: list[bytes] = []
    while page := await records.events.list_after(len(bodies), _PAGE):
        bodies += [event.body for event in page]
    parts = {part for body in bodies for part in re.findall(rb'"\$part":"(sha256:[0-9a-f]{64})"', body)}
    documents = {part.decode(): await records.artifacts.find_document(part.decode()) or b"" for part in parts}
    tenures, decisions = timeline.from_log(bodies, documents)
    for tenure in tenures:
        await records.timeline.insert(tenure)
    for model, sequence in decisions:
        await records.timeline.insert_decision(model, sequence)
    await records.timeline.mark_rebuilt()
    return len(bodies)


async def find_tenure(database: Database, model: RegisteredModel, moment: datetime, now: datetime) -> Tenure | None:
    """Return the tenure of a model at `moment`; None if `moment` is before the first promotion.

    Raises:
        AsOfInFuture, AsOfBeforeModel: the moment is in the future, or before the creation of the model.
    """
    if moment > now:
        raise errors.AsOfInFuture(moment, now)
    if moment < model.created_at:
        raise errors.AsOfBeforeModel(moment, model.name, model.created_at)
    if not await database.read.events.has_passed(moment):
        # A decision that is being written now may get an earlier time. But an answer about the past must never change.
        await database.write(lambda records: records.events.close_time(now))
    return await database.read.timeline.find_at(model.name, moment)


async def find_rollback(records: Records, model: str) -> tuple[Tenure, ModelVersion] | None:
    """Return the tenure and the version to which a rollback returns.

    It is the most recent earlier tenure whose version is archived and usable.
    """
    last = await records.timeline.find_last(model)
    target = None if last is None else last.rollback_target
    while target is not None:
        tenure = await records.timeline.find(target)
        if tenure is None or tenure.version is None:  # pragma: no cover - targets are tenures with a version
            raise RuntimeError(f"rollback target {target} of model {model} is not a tenure with a version")
        found = await records.versions.find(model, tenure.version)
        if found is not None and found.stage is ModelStage.ARCHIVED and found.tombstone is None and not found.recall:
            return tenure, found
        target = tenure.rollback_target
    return None


async def find_winner(records: Records, version: ModelVersion, key: str) -> Winner | None:
    """Return the decision that created the current revision of a version, or None if an edit created the revision.

    The function searches only the latest decisions, and returns None for an older one.
    """
    for event in await records.timeline.list_decisions(version.model, Window(_SEARCHED)):
        after = json.loads(event.body)["data"]["after"].get(key)
        if after is not None and after["revision"] == version.revision:
            decision = await to_decision(records, event)
            return Winner(version.version, decision.by, decision.at, decision.reason)
    return None


async def find_incumbent_decision(records: Records, model: str) -> Winner | None:
    """Return the decision that put the current version into production, or that left production empty."""
    tenure = await records.timeline.find_last(model)
    if tenure is None:
        return None
    decision = await get_decision(records, tenure.sequence)
    return Winner(tenure.version, decision.by, decision.at, decision.reason)


async def get_decision(records: Records, sequence: int) -> Decision:
    """Return the decision that is recorded by the event with this sequence number; the event must exist."""
    (event,) = await records.events.list_after(sequence - 1, 1)
    return await to_decision(records, event)


async def to_decision(records: Records, event: Event) -> Decision:
    """Convert an event of the log to a decision."""
    fields: dict[str, Any] = json.loads(event.body)
    data = fields["data"]
    judged = data.get("judged", {})
    overridden = judged.get("overridden", [])
    if "$part" in overridden:
        overridden = json.loads(await records.artifacts.find_document(overridden["$part"]) or b"[]")
    return Decision(
        sequence=event.sequence,
        at=datetime.fromisoformat(fields["time"]),
        what=fields["type"].removeprefix("registry."),
        subject=fields["subject"],
        by=fields["actor"],
        reason=data["reason"],
        forced=data["forced"],
        stages=[
            StageChange(timeline.parse_version(key), ModelStage(was["stage"]), ModelStage(data["after"][key]["stage"]))
            for key, was in data["before"].items()
            if "stage" in was and data["after"][key]
        ],
        policy=judged.get("policy"),
        overridden=overridden,
    )


async def _get_facts(records: Records, model: str, version: int | None) -> dict[str, Any] | None:
    found = None if version is None else await records.versions.find(model, version)
    if found is None:
        return None
    state = changes.to_fields(found)
    return {name: state[name] for name in timeline.MUTABLE}
