"""Writes: run a use case once per idempotency key, and store its changes, event and answer in one transaction."""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from common_lib.rules import lifecycle, names
from registry_server.core import timeline
from registry_server.core.environment import Environment
from registry_server.core.rights import Caller, Right
from registry_server.domain import errors, events
from registry_server.domain.answers import Answer
from registry_server.queries import Records

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_ETAG = re.compile(r'^(W/)?"([1-9][0-9]{0,9})(?:\.[0-9.]{0,32})?"$(?!\n)')


# A right, and the model that it must cover; None for any model.
Need = tuple[Right, str | None]


class WriteRequest(msgspec.Struct, frozen=True):
    """A request to change an object: its caller, time, idempotency key, fingerprint and preconditions.

    `needs` are the rights that the caller must have. They are checked first, even before a stored answer is repeated.
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
        """True if the caller forces the change, whatever the revision is."""
        return self.if_match == "*"

    def check_revision(self, revision: int, reason: str) -> None:
        """Check that If-Match contains this revision, or that the change is forced with a reason.

        Raises:
            RevisionRequired: If-Match is missing.
            RevisionMismatch: If-Match contains another revision.
            RuleViolation: the change is forced without a reason.
        """
        names.check_text("reason", reason, names.REASON_LENGTH)
        if self.if_match is None:
            raise errors.RevisionRequired
        if self.forced:
            lifecycle.check_reason(reason, "a forced change")
            return
        if revision not in self._revisions(self.if_match):
            raise errors.RevisionMismatch(self.if_match, revision)

    def _revisions(self, if_match: str) -> set[int]:
        """Return the revisions in an If-Match header; weak ETags are ignored (RFC 9110, 13.1.1).

        Raises:
            IfMatchMalformed: the header contains an ETag that this registry never issues.
        """
        matches = [_ETAG.match(tag.strip()) for tag in if_match.split(",")]
        if None in matches:
            raise errors.IfMatchMalformed(if_match)
        return {int(match[2]) for match in matches if match is not None and not match[1]}


class Outcome(msgspec.Struct, Generic[T], frozen=True):
    """The result of a use case: the entity to return, and the change (None if nothing changed).

    If the first answer contains a secret, `replay_entity` is the entity without it: it is stored for repetitions.
    """

    entity: T
    change: events.Change | None
    status: int = 200
    location: str | None = None
    replay_entity: T | None = None


UseCase = Callable[[Records, WriteRequest], Awaitable[Outcome[Any]]]


async def execute(env: Environment, request: WriteRequest, use_case: UseCase) -> Answer:
    """Run a use case once per idempotency key, and store its changes, its event and its answer in one transaction.

    A refused request stores nothing, so the client may send the same key again after it has removed the cause.

    Raises:
        ModelNotFound, RightMissing: the caller lacks a required right, even if it had the right at the first response.
        RequestInFlight: the first request with this key is still running.
        IdempotencyKeyReused: the key was already used for a different request.
        RuleViolation: a value breaks a rule that client and server share.
    """
    for right, model in request.needs:
        request.caller.check_right(right, model)
    claim = (request.caller.name, request.key)
    if claim in env.in_flight:
        return await _get_concurrent_answer(env.database.read, request)
    env.in_flight.add(claim)

    async def write(records: Records) -> Answer:
        if not await records.idempotency.claim(*claim):
            return await _get_concurrent_answer(records, request)
        if (answer := await _find_stored_answer(records, request)) is not None:
            return answer
        outcome = await use_case(records, request)
        if outcome.change is not None:
            await _append_event(env, records, request, outcome.change)
        etag = getattr(outcome.entity, "etag", None)
        body = b"" if outcome.entity is None else _encode(outcome.entity)
        answer = Answer(outcome.status, body, etag, outcome.location)
        stored_answer = (
            answer
            if outcome.replay_entity is None
            else msgspec.structs.replace(answer, body=_encode(outcome.replay_entity))
        )
        await records.idempotency.insert(*claim, request.fingerprint, stored_answer, request.at)
        return answer

    try:
        return await env.database.write(write)
    finally:
        env.in_flight.discard(claim)


async def _get_concurrent_answer(records: Records, request: WriteRequest) -> Answer:
    """Return the stored answer although another request holds the key: that request may be a repetition too."""
    answer = await _find_stored_answer(records, request)
    if answer is None:
        raise errors.RequestInFlight(request.key)
    return answer


async def _find_stored_answer(records: Records, request: WriteRequest) -> Answer | None:
    first = await records.idempotency.find(request.caller.name, request.key)
    if first is not None and first.fingerprint != request.fingerprint:
        raise errors.IdempotencyKeyReused(request.key)
    return None if first is None else first.answer


async def _append_event(env: Environment, records: Records, request: WriteRequest, change: events.Change) -> None:
    sequence, time = await records.events.take_next_place(env.now())
    body, parts = events.encode(
        change,
        sequence=sequence,
        event_id=env.new_id(),
        time=time,
        actor=request.caller.name,
        request_id=request.request_id,
        source=env.database.source,
    )
    for digest, part in parts.items():
        await records.artifacts.insert_document(digest, part)
    await records.events.append(events.Event(sequence, body))
    await timeline.record(records, change, sequence, time)
