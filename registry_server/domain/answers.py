"""Answers to requests, as the server sends them and as it stores them for idempotency."""

from msgspec import Struct


class Answer(Struct, frozen=True):
    """The answer to a request: its status, its encoded body, and the headers that depend on the entity."""

    status: int
    body: bytes
    etag: str | None = None
    location: str | None = None


class FirstAnswer(Struct, frozen=True):
    """The stored answer for an idempotency key, and the fingerprint of the request that it belongs to."""

    fingerprint: str
    answer: Answer
