"""Several addresses of one registry: where the next attempt goes, on a clock of the test's own."""

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


class Clients:
    """Calls of one client whose two addresses answer as the test says."""

    def __init__(self, serve: Callable[[str], Any], **config: Any) -> None:
        self.now = 0.0
        self.serve = serve
        self.sent: list[str] = []
        self.pauses: list[float] = []
        self.keys: list[str] = []
        self.resilience = Resilience(
            RegistryConfig(url=A, replicas=(B,), **config), clock=lambda: self.now, uniform=random.Random(1).uniform
        )

    def call(self, operation: Operation[Any] = READ) -> Answer:
        """One call."""
        steps, reply = self.resilience.steps(operation), None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                answer: Answer = done.value
                return answer
            reply = None
            if isinstance(step, Send):
                self.sent.append(step.url)
                self.keys.append(dict(operation.headers).get("idempotency-key", ""))
                reply = self.serve(step.url)
            elif isinstance(step, Pause):
                self.pauses.append(step.seconds)
                self.now += step.seconds


def only(url: str) -> Callable[[str], Any]:
    """One address is well."""
    return lambda asked: OK if asked == url else CUT


def test_the_first_address_is_asked_while_it_is_well() -> None:
    """The order is that of the configuration."""
    clients = Clients(lambda _: OK)
    for _ in range(5):
        clients.call()
    assert clients.sent == [A] * 5


def test_a_call_goes_on_at_the_next_address_under_the_same_key() -> None:
    """Within the same call; those that follow begin there, and look after the first one every few seconds."""
    clients = Clients(only(B))
    create = models.create("eurusd", "forecasting")
    assert clients.call(create) == OK
    assert clients.sent == [A, B]
    assert len(set(clients.keys)) == 1
    assert clients.keys[0]
    for _ in range(5):
        clients.call(create)
    assert clients.sent == [A, B, *[B] * 5]
    clients.now += 5
    clients.call(create)
    assert clients.sent[-2:] == [A, B]
    clients.serve = lambda _: OK
    clients.now += 5
    clients.call(create)
    assert clients.sent[-1] == A


def test_every_call_is_answered_while_one_address_is_well() -> None:
    """Ten minutes of ten calls a second with the first one down cost a few hundredths more attempts than calls."""
    clients = Clients(only(B))
    for tick in range(6_000):
        clients.now = max(clients.now, tick / 10)
        assert clients.call() == OK
    assert len(clients.sent) <= 1.03 * 6_000


def test_an_open_circuit_of_one_address_does_not_stop_the_other() -> None:
    """Each has its own; when both are open, the error names the one that is worth a call first."""
    clients = Clients(lambda _: CUT, attempts=1)
    for _ in range(60):
        with pytest.raises(RegistryError):
            clients.call()
    with pytest.raises(CircuitOpen) as rejected:
        clients.call()
    states = clients.resilience.circuits()
    assert {name: circuit.state for name, circuit in states.items()} == {f"{A} read": "opened", f"{B} read": "opened"}
    assert rejected.value.retry_after_s == min(circuit.retry_after_s for circuit in states.values())
    clients.now += rejected.value.retry_after_s
    clients.serve = only(B)
    clients.now += 10
    answers = []
    for _ in range(5):
        try:
            answers.append(clients.call() == OK)
        except RegistryError:
            answers.append(False)
    assert answers[1:] == [True] * 4


def test_a_429_is_waited_for_though_there_is_another_address() -> None:
    """The quota is the caller's, and its address is well: it is asked again after the time that it named."""
    answers = [Answer(429, {"retry-after": "4"}, b""), OK]
    clients = Clients(lambda _: answers.pop(0))
    assert clients.call() == OK
    assert clients.sent == [A, A]
    assert 4 <= sum(clients.pauses) < 5


def test_who_asks_to_be_left_alone_is_and_the_other_is_asked_meanwhile() -> None:
    """Retry-After of one address is no pause for another; when both ask for it, it is kept to."""
    busy = Answer(503, {"retry-after": "4"}, b"")
    clients = Clients(lambda url: busy if url == A else OK)
    assert clients.call() == OK
    assert clients.sent == [A, B]
    assert sum(clients.pauses) < 1
    clients = Clients(lambda _: busy, deadline_s=3.0)
    with pytest.raises(ServerFailed) as failed:
        clients.call()
    assert clients.sent == [A, B]
    assert [attempt.url for attempt in failed.value.tried] == [A, B]
