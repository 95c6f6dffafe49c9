"""The order in which several endpoints of one registry are used, on a simulated clock."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from common_lib import RegistryConfig
from common_lib.client.failures import Failure
from common_lib.client.resilience import Resilience
from common_lib.client.steps import Pause, Send
from common_lib.errors import CircuitOpen, ConnectionFailed, RegistryError, ServerFailed
from common_lib.operations import models
from common_lib.operations.base import Answer, Operation

A, B = "http://a", "http://b"
OK = Answer(200, {}, b"{}")
CUT = Failure(ConnectionFailed, "cut")
READ = models.get("eurusd")


class Client:
    """One client with two endpoints; `answer` returns the outcome of an attempt at a URL."""

    def __init__(self, answer: Callable[[str], Any], **config: Any) -> None:
        self.now = 0.0
        self.answer = answer
        self.sent: list[str] = []
        self.pauses: list[float] = []
        self.keys: list[str] = []
        self.resilience = Resilience(
            RegistryConfig(url=A, replicas=(B,), **config), clock=lambda: self.now, uniform=random.Random(1).uniform
        )

    def call(self, operation: Operation[Any] = READ) -> Answer:
        """Make one call."""
        steps, reply = self.resilience.steps(operation), None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                found: Answer = done.value
                return found
            reply = None
            if isinstance(step, Send):
                self.sent.append(step.url)
                self.keys.append(dict(operation.headers).get("idempotency-key", ""))
                reply = self.answer(step.url)
            elif isinstance(step, Pause):
                self.pauses.append(step.seconds)
                self.now += step.seconds


def only(url: str) -> Callable[[str], Any]:
    """Let one endpoint work and the other one fail."""
    return lambda requested: OK if requested == url else CUT


def test_the_first_endpoint_is_used_while_it_works() -> None:
    """The order is that of the configuration."""
    client = Client(lambda _: OK)
    for _ in range(5):
        client.call()
    assert client.sent == [A] * 5


def test_a_call_continues_at_the_next_endpoint_under_the_same_key() -> None:
    """Later calls start there, and try the first endpoint again every few seconds."""
    client = Client(only(B))
    create = models.create("eurusd", "forecasting")
    assert client.call(create) == OK
    assert client.sent == [A, B]
    assert len(set(client.keys)) == 1
    assert client.keys[0]
    for _ in range(5):
        client.call(create)
    assert client.sent == [A, B, *[B] * 5]
    client.now += 5
    client.call(create)
    assert client.sent[-2:] == [A, B]
    client.answer = lambda _: OK
    client.now += 5
    client.call(create)
    assert client.sent[-1] == A


def test_every_call_succeeds_while_one_endpoint_works() -> None:
    """In ten minutes with the first endpoint down there are at most 3 % more attempts than calls."""
    client = Client(only(B))
    for tick in range(6_000):
        client.now = max(client.now, tick / 10)
        assert client.call() == OK
    assert len(client.sent) <= 1.03 * 6_000


def test_each_endpoint_has_its_own_circuit() -> None:
    """When both are open, the error has the shorter time until the next probe."""
    client = Client(lambda _: CUT, attempts=1)
    for _ in range(60):
        with pytest.raises(RegistryError):
            client.call()
    with pytest.raises(CircuitOpen) as rejected:
        client.call()
    states = client.resilience.circuits()
    assert {name: circuit.state for name, circuit in states.items()} == {f"{A} read": "opened", f"{B} read": "opened"}
    assert rejected.value.retry_after_s == min(circuit.retry_after_s for circuit in states.values())
    client.now += rejected.value.retry_after_s
    client.answer = only(B)
    client.now += 10
    answers = []
    for _ in range(5):
        try:
            answers.append(client.call() == OK)
        except RegistryError:
            answers.append(False)
    assert answers[1:] == [True] * 4


def test_after_a_429_the_same_endpoint_is_used_again() -> None:
    """The quota belongs to the caller and the endpoint works, so another endpoint would not help."""
    answers = [Answer(429, {"retry-after": "4"}, b""), OK]
    client = Client(lambda _: answers.pop(0))
    assert client.call() == OK
    assert client.sent == [A, A]
    assert 4 <= sum(client.pauses) < 5


def test_retry_after_of_one_endpoint_does_not_delay_another() -> None:
    """When both endpoints send it, the client obeys it."""
    busy = Answer(503, {"retry-after": "4"}, b"")
    client = Client(lambda url: busy if url == A else OK)
    assert client.call() == OK
    assert client.sent == [A, B]
    assert sum(client.pauses) < 1
    client = Client(lambda _: busy, deadline_s=3.0)
    with pytest.raises(ServerFailed) as failed:
        client.call()
    assert client.sent == [A, B]
    assert [attempt.url for attempt in failed.value.tried] == [A, B]
