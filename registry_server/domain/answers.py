"""Answers as they are sent and, for idempotency, kept."""

from msgspec import Struct


class Answer(Struct, frozen=True):
    """The answer to a request: its status, its encoded body, and the headers that depend on the entity."""

    status: int
    body: bytes
    etag: str | None = None
    location: str | None = None


class FirstAnswer(Struct, frozen=True):
    """The first answer to an idempotency key and the fingerprint of the request it answered."""

    fingerprint: str
    answer: Answer
