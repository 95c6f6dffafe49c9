"""Concurrent operations are linearizable, and the checker rejects histories that are not."""

import dataclasses
import itertools
import json
import math
import random
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import pytest

from common_lib import HttpRegistry, ModelRegistry, Operation
from common_lib.errors import ProductionChanged
from tests.conftest import Server
from tests.lifecycle.contest import contest
from tests.lifecycle.linearizability import Done, order
from tests.lifecycle.pointers import DONE, Lost, Move, Pointers, Promote, Read, alias, by_search, production
from tests.support.steps import version_of

SEED = 20_260_301


def test_concurrent_writes_and_reads_are_linearizable(server: Server, name: str) -> None:
    """8 writers and 4 readers use production of a model, by every way to read it, and an alias on a real server."""
    pointers = Pointers(name)
    contest(server, pointers, 40, moving=True)
    assert order(pointers.of_production, (), production) is not None
    assert order(pointers.of_alias, (1, 1), alias) is not None


def _history(*operations: tuple[float, float, Hashable, Hashable]) -> list[Done]:
    return [Done(*one) for one in operations]


POSSIBLE = {
    "nothing at all": _history(),
    "a read of what is being written": _history((0, 9, Promote(1, None), DONE), (1, 2, Read(), (1,))),
    "a read of what is being replaced": _history((0, 9, Promote(1, None), DONE), (1, 2, Read(), ())),
    "first the new, by one whose read began before": _history(
        (0, 9, Promote(1, None), DONE), (1, 8, Read(), ()), (2, 3, Read(), (1,))
    ),
    "a loser that receives the winner": _history(
        (0, 5, Promote(1, None), DONE), (1, 6, Promote(2, None), Lost(1)), (7, 8, Promote(2, 1), DONE)
    ),
    "a loser whose winner had no answer yet": _history(
        (0, 9, Promote(1, None), DONE), (1, 2, Promote(2, None), Lost(1))
    ),
    "three at once, in the only order": _history(
        (0, 9, Promote(3, 2), DONE), (0, 9, Promote(2, 1), DONE), (0, 9, Promote(1, None), DONE)
    ),
    "a write without a response": _history((0, math.inf, Move(2, 1), None), (1, 2, Read(), (1, 1))),
}
IMPOSSIBLE = {
    "stale read": _history(
        (0, 1, Promote(1, None), DONE), (2, 3, Promote(2, 1), DONE), (4, 5, Read(), (1,)), (6, 7, Read(), (2,))
    ),
    "first the new, then the old": _history((0, 9, Promote(1, None), DONE), (1, 2, Read(), (1,)), (3, 4, Read(), ())),
    "lost update": _history((0, 1, Promote(1, None), DONE), (2, 3, Promote(2, 1), DONE), (4, 5, Read(), (1,))),
    "two winners": _history((0, 1, Promote(1, None), DONE), (2, 5, Promote(2, 1), DONE), (3, 6, Promote(3, 1), DONE)),
    "two in production": _history((0, 1, Promote(1, None), DONE), (2, 9, Promote(2, 1), DONE), (3, 4, Read(), (2, 1))),
    "split transaction": _history((0, 1, Promote(1, None), DONE), (2, 9, Promote(2, 1), DONE), (3, 4, Read(), ())),
    "a loser where nobody won": _history((0, 1, Promote(1, None), Lost(1)), (2, 3, Read(), ())),
    "a loser that receives another winner": _history((0, 1, Promote(1, None), DONE), (2, 3, Promote(2, None), Lost(3))),
}


@pytest.mark.parametrize("history", POSSIBLE.values(), ids=POSSIBLE)
def test_a_linearizable_history_is_accepted(history: list[Done]) -> None:
    """The recorded order does not matter; the found order has each operation once."""
    kind, initial = (alias, (1, 1)) if any(isinstance(one.request, Move) for one in history) else (production, ())
    for operations in itertools.permutations(history):
        found = order(operations, initial, kind)
        assert found is not None
        assert len(found) == len(history)
        assert set(found) == set(history)


@pytest.mark.parametrize("history", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_history_is_rejected(history: list[Done]) -> None:
    """The recorded order does not matter."""
    for operations in itertools.permutations(history):
        assert order(operations, (), production) is None


def test_the_search_agrees_with_trying_all_orders() -> None:
    """The same of 2,000 small random histories have an order by the search and by trying all permutations."""
    print("seed", SEED)
    chance = random.Random(SEED)
    verdicts = []
    for _ in range(2_000):
        history = [_anything(chance) for _ in range(chance.randrange(1, 6))]
        possible = any(_is_order(operations) for operations in itertools.permutations(history))
        assert (order(history, (), production) is not None) == possible, history
        verdicts.append(possible)
    assert 200 < sum(verdicts) < 1_800


def _anything(chance: random.Random) -> Done:
    began = chance.randrange(8)
    ended = math.inf if chance.random() < 0.1 else began + chance.randrange(1, 6)
    there = chance.choice([(), (1,), (2,)])
    if chance.random() < 0.4:
        return Done(began, ended, Read(), there)
    won = chance.random() < 0.7
    seen = chance.choice([None, 1, 2])
    return Done(began, ended, Promote(chance.choice([1, 2]), seen), DONE if won else Lost(there[0] if there else None))


def _is_order(operations: Sequence[Done]) -> bool:
    if any(later.ended < earlier.began for earlier, later in itertools.combinations(operations, 2)):
        return False
    state: Any = ()
    for done in operations:
        answer, state = production(state, done.request)
        if done.ended < math.inf and answer != done.answer:
            return False
    return True


class Planted(ModelRegistry):
    """A registry with one planted fault around a real one; `look` reads where the fault is visible."""

    def __init__(self, inner: ModelRegistry, look: Callable[[], object]) -> None:
        self.inner = inner
        self.look = look

    def call(self, operation: Operation[Any]) -> Any:
        """Run an operation; promotions go through the fault."""
        body = json.loads(operation.body or b"{}")
        return self.promote(operation, body) if body.get("to") == "production" else self.inner.call(operation)

    def promote(self, operation: Operation[Any], body: dict[str, Any]) -> Any:
        """Run a promotion without a fault."""
        return self.inner.call(operation)

    def instead(self, operation: Operation[Any], body: dict[str, Any], replacing: int | None) -> Any:
        """Promote in place of another version than requested."""
        return self.inner.call(
            dataclasses.replace(operation, body=json.dumps(body | {"replacing": replacing}).encode())
        )


class StaleRead(Planted):
    """A registry that repeats its first read for ever."""

    def call(self, operation: Operation[Any]) -> Any:
        """Return the remembered response."""
        if operation.method != "GET":
            return super().call(operation)
        self.known: dict[str, Any] = getattr(self, "known", {})
        return self.known.setdefault(operation.path, self.inner.call(operation))


class LostUpdate(Planted):
    """A registry that acknowledges the second promotion and loses it."""

    def promote(self, operation: Operation[Any], body: dict[str, Any]) -> Any:
        """Run only the first promotion."""
        return self.inner.versions.get(MODEL, 2) if body.get("replacing") else self.inner.call(operation)


class TwoWinners(Planted):
    """A registry in which a losing promotion succeeds too."""

    def promote(self, operation: Operation[Any], body: dict[str, Any]) -> Any:
        """Promote in place of any version."""
        try:
            return self.inner.call(operation)
        except ProductionChanged as lost:
            return self.instead(operation, body, lost.winner and lost.winner.version)


class SplitTransaction(Planted):
    """A registry that archives the incumbent before it promotes, with a read in between."""

    def promote(self, operation: Operation[Any], body: dict[str, Any]) -> Any:
        """Demote and promote in two transactions."""
        there = self.inner.models.get(MODEL).production_version
        if there is None or body.get("replacing") != there:
            return self.inner.call(operation)
        self.inner.versions.transition(MODEL, there, "archived", reason="by two steps", revision=3)
        self.look()
        return self.instead(operation, body, None)


MODEL = "eurusd-direction"


@pytest.mark.parametrize("kind", [Planted, StaleRead, LostUpdate, TwoWinners, SplitTransaction])
def test_a_registry_with_a_planted_fault_is_detected(model_registry: HttpRegistry, kind: type[Planted]) -> None:
    """A few sequential promotions and reads are enough; without a fault they have an order."""
    model_registry.models.create(MODEL, "regression")
    for number in (1, 2, 3):
        version_of(model_registry, MODEL)
        model_registry.versions.transition(MODEL, number, "staging", revision=1)
    pointers = Pointers(MODEL)
    registry = kind(model_registry, lambda: pointers.in_production(model_registry, by_search))
    for promote in (Promote(1, None), Promote(2, 1), Promote(3, 1)):
        pointers.promote(registry, promote, revision=2, reason="it is better")
        pointers.in_production(registry, by_search)
    assert (order(pointers.of_production, (), production) is not None) == (kind is Planted)
