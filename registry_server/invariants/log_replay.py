"""Replays the event log: checks the stored bytes of each event, and computes the state of all entities from the events.

Memory is bounded by the largest event, because the state is in a temporary file.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from common_lib.rules import canonical
from common_lib.rules.lifecycle import DECISIONS
from registry_server.core import changes
from registry_server.domain import timeline
from registry_server.domain.base import to_micros
from registry_server.domain.events import CloudEvent
from registry_server.domain.production import Tenure
from registry_server.domain.replay import decode_field, initial_fields
from registry_server.infrastructure.temporary_store import TemporaryStore
from registry_server.queries.sql import Sql

_PAGE: Final = 200
_RESERVED: Final = "registry"
# Fields of an entity that contain the actor of a change.
_ACTOR_FIELDS: Final = ("created_by", "updated_by", "approver")
_ACTION_FIELDS: Final = ("tombstone", "recall")


class LogReplay:
    """The replay of one log; the resulting state is in a temporary store."""

    def __init__(self, sql: Sql, store: TemporaryStore) -> None:
        self._sql = sql
        self._store = store
        self._last_at: datetime | None = None
        self.last = 0

    async def check(self) -> AsyncIterator[str]:
        """Read all events in order, and yield a sentence for each fault."""
        row = await self._sql.fetch_one("SELECT value FROM meta WHERE key = 'source'")
        source = "" if row is None else str(row[0])
        statement = f"SELECT sequence, body FROM events WHERE sequence > ?1 ORDER BY sequence LIMIT {_PAGE}"  # noqa: S608 - a constant
        while page := await self._sql.fetch(statement, self.last):
            for sequence, body in page:
                if sequence != self.last + 1:
                    more = f", and all others before event {sequence}" if sequence > self.last + 2 else ""
                    yield f"event {self.last + 1} is missing{more}"
                self.last = sequence
                async for fault in self._check_event(sequence, body, source):
                    yield f"event {sequence} {fault}"
        async for fault in self._check_end():
            yield fault

    async def _check_end(self) -> AsyncIterator[str]:
        row = await self._sql.fetch_one("SELECT value, at FROM counters WHERE name = 'events'")
        value, at = (0, 0) if row is None else row
        if value != self.last:
            yield f"the log ends with event {self.last}, but the last assigned sequence number is {value}"
        if self._last_at is not None and at < to_micros(self._last_at):
            yield f"the time of the log is before the time of event {self.last}"

    async def _check_event(self, sequence: int, body: Any, source: str) -> AsyncIterator[str]:
        if not isinstance(body, bytes):
            yield "cannot be read (it is not stored as bytes)"
            return
        try:
            event = msgspec.json.decode(body, type=CloudEvent)
            fields = json.loads(body)
            data = fields["data"]
            before, after = data["before"], data["after"]
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
            yield f"cannot be read ({type(error).__name__})"
            return
        for fault in _check_envelope(event, fields, body, sequence=sequence, source=source, last_at=self._last_at):
            yield fault
        self._last_at = max(event.time, self._last_at or event.time)
        try:
            await self._load_documents(before)
            await self._load_documents(after)
            for fault in self._apply(sequence, event, data, before, after):
                yield fault
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            yield f"has parts that are missing or cannot be read ({error!r:.200})"

    async def _load_documents(self, side: dict[str, Any]) -> None:
        """Replace references to documents by the documents, which are values that were too large for their event."""
        for key, fields in side.items():
            if fields is None:
                continue
            for name, value in fields.items():
                documents = {}
                if isinstance(value, dict) and "$part" in value:
                    row = await self._sql.fetch_one("SELECT body FROM documents WHERE digest = ?1", value["$part"])
                    if row is None:
                        raise LookupError(f"{name} of {key}")
                    documents[value["$part"]] = row[0]
                fields[name] = decode_field(value, documents)

    def _apply(
        self, sequence: int, event: CloudEvent, data: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
    ) -> Iterator[str]:
        entered = timeline.find_production_key(after)
        restored = data.get("restored")
        left = timeline.find_production_key(before)
        for key, fields in after.items():
            stored = self._store.get("state", key)
            state = {} if stored is None else stored[1]
            expected = before.get(key)
            if expected is None and stored is not None:
                yield f"creates {key}, which already existed"
            for name, value in (expected or {}).items():
                if stored is None or state.get(name, _default(key, name)) != value:
                    yield f"has for {key} an earlier value of {name} that differs from the previous events"
            if fields is None:
                self._store.pop("state", key)
                continue
            yield from _check_actor(event, key, fields, created=stored is None)
            self._store.put("state", key, sequence, {**initial_fields(key), **state, **fields})
        if self._store.get("state", f"principals/{event.actor}") is None and event.actor != _RESERVED:
            yield f"has the actor {event.actor!r:.100}, which was not a principal then"
        model = timeline.parse_model(event.subject)
        if model is None:
            return
        if event.type.removeprefix("registry.") in DECISIONS:
            self._store.put("decision", f"{sequence:020d}", sequence, model)
        if entered or left:
            self._replay_tenure(sequence, event, model, entered, restored)

    def _replay_tenure(self, sequence: int, event: CloudEvent, model: str, entered: str | None, restored: Any) -> None:
        facts = None
        if entered is not None and (stored := self._store.get("state", entered)) is not None:
            facts = {name: stored[1][name] for name in timeline.MUTABLE if name in stored[1]}
        back = None if restored is None else self._find_tenure(restored)
        last = self._store.get("last", model)
        tenure = Tenure(
            model=model,
            since=event.time,
            sequence=sequence,
            version=timeline.parse_version(entered) if entered else None,
            rollback_target=timeline.rollback_target(None if last is None else self._find_tenure(last[1]), back),
            facts=facts,
        )
        self._store.put("tenure", f"{sequence:020d}", sequence, changes.to_fields(tenure))
        self._store.put("last", model, sequence, sequence)

    def _find_tenure(self, sequence: int) -> Tenure | None:
        stored = self._store.get("tenure", f"{sequence:020d}")
        return None if stored is None else msgspec.convert(stored[1], Tenure)


def _check_envelope(
    event: CloudEvent, fields: dict[str, Any], body: bytes, *, sequence: int, source: str, last_at: datetime | None
) -> Iterator[str]:
    try:
        canonical_body = canonical.encode(fields)
    except ValueError:
        canonical_body = b""
    if canonical_body != body or set(fields) != set(CloudEvent.__struct_fields__):
        yield "is not in the form in which events are stored"
    if event.sequence != f"{sequence:020d}":
        yield f"has the sequence number {event.sequence.lstrip('0')!r:.30} in its body"
    if event.source != source:
        yield "belongs to another log"
    if last_at is not None and event.time <= last_at:
        yield "is not later than the event before it"


def _check_actor(event: CloudEvent, key: str, fields: dict[str, Any], *, created: bool) -> Iterator[str]:
    named = [fields[name] for name in _ACTOR_FIELDS if name in fields and (created or name != "created_by")]
    named += [fields[name]["by"] for name in _ACTION_FIELDS if fields.get(name)]
    for actor in named:
        if actor != event.actor:
            yield f"has the actor {event.actor!r:.100}, but {key} has {actor!r:.100}"


def _default(key: str, name: str) -> Any:
    return initial_fields(key).get(name)


def digest_of(body: bytes) -> str:
    """Return the digest under which a document is stored."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
