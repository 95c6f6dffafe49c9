"""What was in production at a moment is answered exactly, to the microsecond, however long ago; on both engines."""

import bisect
import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from common_lib import HttpRegistry, ModelRegistry
from common_lib.errors import NothingToReturnTo, VersionNotFound
from tests.conftest import Server
from tests.lifecycle.contest import READERS, contest
from tests.lifecycle.model import Act, Model, Refused
from tests.lifecycle.pointers import Pointers
from tests.support.steps import version_of

SEED = 20_260_301
VERSIONS = 8
MICROSECOND = timedelta(microseconds=1)
BY = "admin"


class Told(NamedTuple):
    """What is to be told of a moment."""

    version: int | None
    by: str | None
    reason: str


@pytest.mark.parametrize("transitions", [40, pytest.param(1_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_each_moment_is_told_as_it_was(server: Server, name: str, transitions: int) -> None:
    """At each change of production, a microsecond before and after, and in between; by both ways to ask."""
    print("seed", SEED)
    chance = random.Random(SEED)
    with server.registry() as registry:
        began = registry.models.create(name, "regression").created_at
        moments, told = _walk(registry, name, chance, transitions)
        for moment in _asked(chance, began, moments):
            after = bisect.bisect_right(moments, moment)
            wanted = told[after - 1] if after else Told(None, None, "")
            found = registry.production.at(name, moment)
            assert (found.version, found.by, found.reason) == wanted, moment
            assert found.since == (moments[after - 1] if after else began)
            assert _resolved(registry, name, moment) == wanted.version, moment


def test_what_was_told_of_a_moment_stays_so(server: Server, name: str) -> None:
    """Also of the moment of asking, while 8 writers promote: a decision under way comes later, or is waited for."""
    told = []

    def now(registry: ModelRegistry, model: str) -> tuple[int, ...]:
        found = registry.production.at(model, datetime.now(UTC))
        told.append(found)
        return () if found.version is None else (found.version,)

    contest(server, Pointers(name), 40, views=[now] * READERS)
    with server.registry() as registry:
        again = [registry.production.at(name, found.at) for found in told]
    assert again == told


def _walk(
    registry: HttpRegistry, name: str, chance: random.Random, transitions: int
) -> tuple[list[datetime], list[Told]]:
    """Change stages at random, so many times; when production was changed, and what is to be told from then on."""
    expected = Model()
    moments: list[datetime] = []
    for _ in range(VERSIONS):
        version_of(registry, name)
        expected.register("ann", None)
    for turn in range(transitions):
        _move(registry, name, expected, chance, f"turn {turn}")
        if len(moments) < len(expected.tenures):
            moments.append(registry.production.at(name).since)
    return moments, [Told(version, BY, reason) for version, _, reason in expected.tenures]


def _move(registry: HttpRegistry, name: str, expected: Model, chance: random.Random, reason: str) -> None:
    """One change: a rollback, or a version at random to where it may go."""
    act = Act("ann", reason, "force")
    if chance.random() < 0.25:
        try:
            expected.rollback(act, replacing=None)
        except Refused:
            with pytest.raises(NothingToReturnTo):
                registry.production.rollback(name, reason=reason, force=True)
        else:
            registry.production.rollback(name, reason=reason, force=True)
            return
    number = chance.choice([*expected.versions])
    stage = expected.versions[number].stage
    to = {"staging": "production", "production": "archived"}.get(stage, "staging")
    expected.transition(act, number, to)
    registry.versions.transition(name, number, to, reason=reason, force=True)


def _asked(chance: random.Random, began: datetime, moments: list[datetime]) -> list[datetime]:
    around = [moment + shift * MICROSECOND for moment in moments for shift in (-1, 0, 1)]
    between = [since + (until - since) * chance.random() for since, until in itertools.pairwise(moments)]
    asked = [began, *around, *between]
    chance.shuffle(asked)
    return asked


def _resolved(registry: HttpRegistry, name: str, moment: datetime) -> int | None:
    try:
        return registry.resolve(f"models:/{name}/production?as_of={moment.isoformat()}").version
    except VersionNotFound:
        return None
