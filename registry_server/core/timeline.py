"""What was decided, and what was in production when: noted with each event, and made anew from the log."""

import json
import re
from datetime import datetime
from typing import Any

from common_lib.rules.lifecycle import DECISIONS, ModelStage
from registry_server.core import changes
from registry_server.core.ports import Records
from registry_server.domain import timeline
from registry_server.domain.events import Change, Event
from registry_server.domain.pages import Window
from registry_server.domain.production import Decision, StageChange, Tenure, Winner
from registry_server.domain.versions import ModelVersion

_LOOKED_AT = 100
_PAGE = 1_000


async def note(records: Records, change: Change, sequence: int, at: datetime) -> None:
    """Note what an event means for its model, in the transaction that records it."""
    model = timeline.model_of(change.subject)
    if model is None:
        return
    if change.type in DECISIONS:
        await records.timeline.insert_decision(model, sequence)
    entered = timeline.in_production(change.after)
    if entered or timeline.in_production(change.before):
        version = None if entered is None else timeline.number_of(entered)
        back = await records.timeline.find(change.more["restored"]) if "restored" in change.more else None
        tenure = Tenure(
            model=model,
            since=at,
            sequence=sequence,
            version=version,
            rollback_target=timeline.rollback_target(await records.timeline.find_last(model), back),
            facts=await _facts(records, model, version),
        )
        await records.timeline.insert(tenure)


async def decision(records: Records, event: Event) -> Decision:
    """What an event of the log says of a decision."""
    told: dict[str, Any] = json.loads(event.body)
    data = told["data"]
    judged = data.get("judged", {})
    overridden = judged.get("overridden", [])
    if "$part" in overridden:
        overridden = json.loads(await records.artifacts.find_document(overridden["$part"]) or b"[]")
    return Decision(
        sequence=event.sequence,
        at=datetime.fromisoformat(told["time"]),
        what=told["type"].removeprefix("registry."),
        subject=told["subject"],
        by=told["actor"],
        reason=data["reason"],
        forced=data["forced"],
        stages=[
            StageChange(timeline.number_of(key), ModelStage(was["stage"]), ModelStage(data["after"][key]["stage"]))
            for key, was in data["before"].items()
            if "stage" in was and data["after"][key]
        ],
        policy=judged.get("policy"),
        overridden=overridden,
    )


async def event_at(records: Records, sequence: int) -> Event:
    """The event at a place that is known to be taken."""
    (event,) = await records.events.list_after(sequence - 1, 1)
    return event


async def winner(records: Records, version: ModelVersion, key: str) -> Winner | None:
    """Whose decision made the revision at which a version is; None if that was an edit, or very long ago."""
    for event in await records.timeline.list_decisions(version.model, Window(_LOOKED_AT)):
        made = json.loads(event.body)["data"]["after"].get(key)
        if made is not None and made["revision"] == version.revision:
            told = await decision(records, event)
            return Winner(version.version, told.by, told.at, told.reason)
    return None


async def incumbent_by(records: Records, model: str) -> Winner | None:
    """Whose decision put into production what is there now, or took it away."""
    tenure = await records.timeline.find_last(model)
    if tenure is None:
        return None
    told = await decision(records, await event_at(records, tenure.sequence))
    return Winner(tenure.version, told.by, told.at, told.reason)


async def predecessor(records: Records, model: str) -> tuple[Tenure, ModelVersion] | None:
    """The nearest tenure beneath the last one whose version still is archived and can be used, and that version."""
    last = await records.timeline.find_last(model)
    below = None if last is None else last.rollback_target
    while below is not None:
        tenure = await records.timeline.find(below)
        if tenure is None or tenure.version is None:  # pragma: no cover - tenures lie on tenures with a version
            raise RuntimeError(f"a tenure of {model} lies on {below}, which is none with a version")
        found = await records.versions.find(model, tenure.version)
        if found is not None and found.stage is ModelStage.ARCHIVED and found.tombstone is None and not found.recall:
            return tenure, found
        below = tenure.rollback_target
    return None


async def rebuild(records: Records) -> int:
    """Make tenures and decisions of the log, if a database has none yet, and say how many events were read."""
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


async def _facts(records: Records, model: str, version: int | None) -> dict[str, Any] | None:
    found = None if version is None else await records.versions.find(model, version)
    if found is None:
        return None
    state = changes.fields(found)
    return {name: state[name] for name in timeline.MUTABLE}
