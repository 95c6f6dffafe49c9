"""Answers to requests, as the server sends them and stores them for repeated requests."""

from msgspec import Struct


class Answer(Struct, frozen=True):
    """The answer to a request: status, encoded body, and the values of the headers ETag and Location."""

    status: int
    body: bytes
    etag: str | None = None
    location: str | None = None


class FirstAnswer(Struct, frozen=True):
    """The stored answer for an idempotency key; `fingerprint` identifies the request that it answers."""

    fingerprint: str
    answer: Answer
