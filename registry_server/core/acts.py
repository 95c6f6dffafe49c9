"""The ceremony of a write: first answer if there is one, use case, exactly one event, answer; one transaction."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from common_lib.rules import lifecycle, names
from common_lib.rules.violation import RuleViolation
from registry_server.core import timeline
from registry_server.core.ports import BlobStore, Database, Records
from registry_server.core.rights import Caller, Right
from registry_server.domain import events
from registry_server.domain.answers import Answer
from registry_server.domain.errors import (
    IdempotencyKeyReused,
    InvalidRequest,
    RequestInFlight,
    RevisionMismatch,
    RevisionRequired,
    RuleBroken,
)

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_ETAG = re.compile(r'^(W/)?"([1-9][0-9]{0,9})(?:\.[0-9.]{0,32})?"$(?!\n)')


class Ports(msgspec.Struct, frozen=True):
    """The outside world as the use cases see it."""

    database: Database
    blobs: BlobStore
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    in_flight: set[tuple[str, str]]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


# A right, and the model that it must cover; None if any will do.
Need = tuple[Right, str | None]


class Act(msgspec.Struct, frozen=True):
    """One request to change something: who, when, on which revision, and what makes it the same request again.

    `needs` are the rights without which the caller does not even get the first answer again.
    """

    caller: Caller
    at: datetime
    request_id: str
    key: str
    fingerprint: str
    if_match: str | None = None
    if_none_match: str | None = None
    needs: tuple[Need, ...] = ()

    @property
    def forced(self) -> bool:
        """Whether the caller said to go on whatever the revision is."""
        return self.if_match == "*"

    def expect(self, revision: int, reason: str) -> None:
        """Refuse unless the caller saw this revision, or forces the change and says why.

        Raises:
            RevisionRequired: there is no If-Match.
            RevisionMismatch: it names another revision.
            RuleViolation: it is forced without a reason.
        """
        names.check_text("reason", reason, names.REASON_LENGTH)
        if self.if_match is None:
            raise RevisionRequired(
                "a change needs the revision it is based on",
                remedy="read the object and send its ETag as If-Match, or If-Match: * and a reason to force the change",
                field="If-Match",
            )
        if self.forced:
            lifecycle.check_reason(reason, "a forced change")
            return
        if revision not in self._revisions(self.if_match):
            raise RevisionMismatch(
                f"the object is at revision {revision}, and If-Match is {self.if_match:.100}",
                remedy="read it again, decide again, and send its new ETag, which is never a weak one",
                field="If-Match",
                value=self.if_match,
            )

    def _revisions(self, if_match: str) -> set[int]:
        """Return the revisions that an If-Match names; a weak ETag names none (RFC 9110, 13.1.1).

        Raises:
            InvalidRequest: an ETag in it is not of this registry.
        """
        matches = [_ETAG.match(tag.strip()) for tag in if_match.split(",")]
        if None in matches:
            raise InvalidRequest(
                "If-Match is not an ETag of this registry",
                remedy='send the ETag as it was received, such as "3", or *',
                field="If-Match",
                value=if_match,
                code="invalid_if_match",
            )
        return {int(match[2]) for match in matches if match is not None and not match[1]}


class Outcome(msgspec.Struct, Generic[T], frozen=True):
    """What a use case did: the entity to answer with, and the change, or None if all was so already.

    `kept` is what a repeated request is answered with, where the first answer held a secret.
    """

    entity: T
    change: events.Change | None
    status: int = 200
    location: str | None = None
    kept: T | None = None


UseCase = Callable[[Records, Act], Awaitable[Outcome[Any]]]


async def perform(ports: Ports, act: Act, use_case: UseCase) -> Answer:
    """Run a use case once for its idempotency key, in one transaction with its event and its answer.

    A refused request leaves no trace, so the same key may be sent again after the cause is mended.

    Raises:
        NotFound, Forbidden: the caller lacks one of the rights that the act needs, perhaps since its first answer.
        RequestInFlight: the first request with this key is still at work.
        IdempotencyKeyReused: the key came with another request before.
    """
    for right, model in act.needs:
        act.caller.require(right, model)
    claim = (act.caller.name, act.key)
    if claim in ports.in_flight:
        return await _answer_of_another(ports.database.read, act)
    ports.in_flight.add(claim)

    async def ceremony(records: Records) -> Answer:
        if not await records.idempotency.claim(*claim):
            return await _answer_of_another(records, act)
        if (answer := await _first_answer(records, act)) is not None:
            return answer
        try:
            outcome = await use_case(records, act)
        except RuleViolation as violation:
            raise RuleBroken(violation) from None
        if outcome.change is not None:
            await _record(ports, records, act, outcome.change)
        etag = getattr(outcome.entity, "etag", None)
        body = b"" if outcome.entity is None else _encode(outcome.entity)
        answer = Answer(outcome.status, body, etag, outcome.location)
        kept = answer if outcome.kept is None else msgspec.structs.replace(answer, body=_encode(outcome.kept))
        await records.idempotency.insert(*claim, act.fingerprint, kept, act.at)
        return answer

    try:
        return await ports.database.write(ceremony)
    finally:
        ports.in_flight.discard(claim)


async def _answer_of_another(records: Records, act: Act) -> Answer:
    """The first answer, when somebody holds the key: perhaps only to repeat it, as this request would."""
    answer = await _first_answer(records, act)
    if answer is None:
        raise RequestInFlight(
            "the first request with this Idempotency-Key is still at work",
            remedy="send it again in a moment; its answer will be the first one's",
            field="Idempotency-Key",
            value=act.key,
        )
    return answer


async def _first_answer(records: Records, act: Act) -> Answer | None:
    first = await records.idempotency.find(act.caller.name, act.key)
    if first is not None and first.fingerprint != act.fingerprint:
        raise IdempotencyKeyReused(
            "this Idempotency-Key came with another request before",
            remedy="use a new key for a new request",
            field="Idempotency-Key",
            value=act.key,
        )
    return None if first is None else first.answer


async def _record(ports: Ports, records: Records, act: Act, change: events.Change) -> None:
    sequence, time = await records.events.next_place(ports.now())
    body, parts = events.encode(
        change,
        sequence=sequence,
        event_id=ports.new_id(),
        time=time,
        actor=act.caller.name,
        request_id=act.request_id,
        source=ports.database.source,
    )
    for digest, part in parts.items():
        await records.artifacts.insert_document(digest, part)
    await records.events.append(events.Event(sequence, body))
    await timeline.note(records, change, sequence, time)
