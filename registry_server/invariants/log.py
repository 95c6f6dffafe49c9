"""The log, event by event: the form of its stored bytes, and the state that follows from them.

Memory is bounded by the largest event: the state lies in a temporary file.
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
from registry_server.infrastructure.sql import Sql
from registry_server.infrastructure.temporary_store import TemporaryStore

_PAGE: Final = 200
_RESERVED: Final = "registry"
# Fields of an object that name the actor of this very change.
_MAKERS: Final = ("created_by", "updated_by", "approver")
_MARKS: Final = ("tombstone", "recall")


class Log:
    """The replay of one log into a store database."""

    def __init__(self, sql: Sql, store: TemporaryStore) -> None:
        self._sql = sql
        self._store = store
        self._last_at: datetime | None = None
        self.last = 0

    async def check(self) -> AsyncIterator[str]:
        """Read all events in order, and yield each fault as a sentence."""
        row = await self._sql.fetch_one("SELECT value FROM meta WHERE key = 'source'")
        source = "" if row is None else str(row[0])
        statement = f"SELECT sequence, body FROM events WHERE sequence > ?1 ORDER BY sequence LIMIT {_PAGE}"  # noqa: S608 - a constant
        while page := await self._sql.fetch(statement, self.last):
            for sequence, body in page:
                if sequence != self.last + 1:
                    yield f"event {self.last + 1} is missing" + (
                        f", and all up to {sequence - 1}" if sequence > self.last + 2 else ""
                    )
                self.last = sequence
                async for fault in self._event(sequence, body, source):
                    yield f"event {sequence} {fault}"
        async for fault in self._end():
            yield fault

    async def _end(self) -> AsyncIterator[str]:
        row = await self._sql.fetch_one("SELECT value, at FROM counters WHERE name = 'events'")
        value, at = (0, 0) if row is None else row
        if value != self.last:
            yield f"the log ends with event {self.last}, and {value} events were given a number"
        if self._last_at is not None and at < to_micros(self._last_at):
            yield f"the time of the log is before that of event {self.last}"

    async def _event(self, sequence: int, body: Any, source: str) -> AsyncIterator[str]:
        if not isinstance(body, bytes):
            yield "cannot be read (it is not stored as bytes)"
            return
        try:
            event = msgspec.json.decode(body, type=CloudEvent)
            fields = json.loads(body)
            data = fields["data"]
            before, after = data["before"], data["after"]
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as why:
            yield f"cannot be read ({type(why).__name__})"
            return
        for fault in _of_envelope(event, fields, body, sequence=sequence, source=source, last_at=self._last_at):
            yield fault
        self._last_at = max(event.time, self._last_at or event.time)
        try:
            await self._fill(before)
            await self._fill(after)
            for fault in self._apply(sequence, event, data, before, after):
                yield fault
        except (LookupError, TypeError, ValueError, AttributeError) as why:
            yield f"has parts that are missing or cannot be read ({why!r:.200})"

    async def _fill(self, side: dict[str, Any]) -> None:
        """Put the parts that were too large for their event in their places."""
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
            held = self._store.get("state", key)
            state = {} if held is None else held[1]
            was = before.get(key)
            if was is None and held is not None:
                yield f"makes {key}, which was there already"
            for name, value in (was or {}).items():
                if held is None or state.get(name, _default(key, name)) != value:
                    yield f"says of {key} that {name} was another value than the events before it say"
            if fields is None:
                self._store.pop("state", key)
                continue
            yield from _of_maker(event, key, fields, made=held is None)
            self._store.put("state", key, sequence, {**initial_fields(key), **state, **fields})
        if self._store.get("state", f"principals/{event.actor}") is None and event.actor != _RESERVED:
            yield f"names the actor {event.actor!r:.100}, who was not a principal then"
        model = timeline.parse_model(event.subject)
        if model is None:
            return
        if event.type.removeprefix("registry.") in DECISIONS:
            self._store.put("decision", f"{sequence:020d}", sequence, model)
        if entered or left:
            self._tenure(sequence, event, model, entered, restored)

    def _tenure(self, sequence: int, event: CloudEvent, model: str, entered: str | None, restored: Any) -> None:
        facts = None
        if entered is not None and (held := self._store.get("state", entered)) is not None:
            facts = {name: held[1][name] for name in timeline.MUTABLE if name in held[1]}
        back = None if restored is None else self._find(restored)
        last = self._store.get("last", model)
        made = Tenure(
            model=model,
            since=event.time,
            sequence=sequence,
            version=timeline.parse_version(entered) if entered else None,
            rollback_target=timeline.rollback_target(None if last is None else self._find(last[1]), back),
            facts=facts,
        )
        self._store.put("tenure", f"{sequence:020d}", sequence, changes.fields(made))
        self._store.put("last", model, sequence, sequence)

    def _find(self, sequence: int) -> Tenure | None:
        held = self._store.get("tenure", f"{sequence:020d}")
        return None if held is None else msgspec.convert(held[1], Tenure)


def _of_envelope(
    event: CloudEvent, fields: dict[str, Any], body: bytes, *, sequence: int, source: str, last_at: datetime | None
) -> Iterator[str]:
    try:
        canonically = canonical.encode(fields)
    except ValueError:
        canonically = b""
    if canonically != body or set(fields) != set(CloudEvent.__struct_fields__):
        yield "is not in the form in which events are stored"
    if event.sequence != f"{sequence:020d}":
        yield f"stands in the place of event {event.sequence.lstrip('0')!r:.30}"
    if event.source != source:
        yield "is of another log"
    if last_at is not None and event.time <= last_at:
        yield "is not later than the event before it"


def _of_maker(event: CloudEvent, key: str, fields: dict[str, Any], *, made: bool) -> Iterator[str]:
    named = [fields[name] for name in _MAKERS if name in fields and (made or name != "created_by")]
    named += [fields[name]["by"] for name in _MARKS if fields.get(name)]
    for who in named:
        if who != event.actor:
            yield f"names the actor {event.actor!r:.100}, and {key} says that it was {who!r:.100}"


def _default(key: str, name: str) -> Any:
    return initial_fields(key).get(name)


def digest_of(body: bytes) -> str:
    """Return the digest under which a document is kept."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
