"""Promotion is exclusive under concurrent load, over real sockets and on both engines."""

import time
from collections.abc import Iterator

import pytest

from common_lib import HttpRegistry
from common_lib.rules.production import Decision
from tests.conftest import Server
from tests.lifecycle.contest import contest
from tests.lifecycle.linearizability import order
from tests.lifecycle.pointers import Pointers, production

# In parts, so that a failure is found in minutes: 10 times 1,000 promotions on one server.
_LONG = [pytest.param(1_000, part, marks=[pytest.mark.long, pytest.mark.timeout(900)]) for part in range(1, 11)]


@pytest.mark.parametrize(("promotions", "part"), [(80, 0), *_LONG])
def test_one_version_is_in_production_at_every_moment_of_many_promotions(
    server: Server, name: str, promotions: int, part: int
) -> None:
    """8 writers, 4 readers: one version is in production, each loser gets the winner, each promotion is one event.

    All that was seen and done could have happened one after the other. (The server's fixture replays the log.)
    """
    pointers = Pointers(name)
    began = time.perf_counter()
    ended = contest(server, pointers, promotions)
    print(f"part {part}: {ended} in {time.perf_counter() - began:.0f} s")
    with server.registry() as registry:
        decisions = [made for made in _history(registry, name) if made.what == "version.promoted"]
        assert len(decisions) == ended.won + 1  # the first one came before the contest
        _assert_one_follows_the_other(decisions)
        _assert_each_moment_is_reported(registry, name, decisions[:: max(1, len(decisions) // 200)])
    assert order(pointers.of_production, (), production) is not None


def _history(registry: HttpRegistry, name: str) -> Iterator[Decision]:
    return reversed(list(registry.production.history(name, page_size=1_000)))


def _assert_one_follows_the_other(decisions: list[Decision]) -> None:
    """Fail unless each promotion archives the version of the promotion before it, at a later time."""
    there, at = None, None
    for decision in decisions:
        (entered,) = [step.version for step in decision.stages if step.after == "production"]
        left = [step.version for step in decision.stages if step.before == "production"]
        assert left == ([] if there is None else [there]), decision
        assert at is None or at < decision.at
        there, at = entered, decision.at


def _assert_each_moment_is_reported(registry: HttpRegistry, name: str, decisions: list[Decision]) -> None:
    for decision in decisions:
        then = registry.production.at(name, decision.at)
        assert (then.sequence, then.by, then.reason) == (decision.sequence, decision.by, decision.reason)
