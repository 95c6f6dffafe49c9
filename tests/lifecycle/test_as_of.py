"""Queries for production at a past moment are exact to the microsecond, on both engines."""

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


class Report(NamedTuple):
    """The expected production at a moment."""

    version: int | None
    by: str | None
    reason: str


@pytest.mark.parametrize("transitions", [40, pytest.param(1_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_each_moment_is_reported_as_it_was(server: Server, name: str, transitions: int) -> None:
    """The moments are each change, a microsecond before and after, and in between; both kinds of query are used."""
    print("seed", SEED)
    chance = random.Random(SEED)
    with server.registry() as registry:
        began = registry.models.create(name, "regression").created_at
        moments, reports = _walk(registry, name, chance, transitions)
        for moment in _moments_to_check(chance, began, moments):
            after = bisect.bisect_right(moments, moment)
            wanted = reports[after - 1] if after else Report(None, None, "")
            found = registry.production.at(name, moment)
            assert (found.version, found.by, found.reason) == wanted, moment
            assert found.since == (moments[after - 1] if after else began)
            assert _resolved(registry, name, moment) == wanted.version, moment


def test_the_report_of_a_moment_never_changes(server: Server, name: str) -> None:
    """The moment may be now, while 8 writers promote: a running decision gets a later time or delays the query."""
    reports = []

    def now(registry: ModelRegistry, model: str) -> tuple[int, ...]:
        found = registry.production.at(model, datetime.now(UTC))
        reports.append(found)
        return () if found.version is None else (found.version,)

    contest(server, Pointers(name), 40, views=[now] * READERS)
    with server.registry() as registry:
        again = [registry.production.at(name, found.at) for found in reports]
    assert again == reports


def _walk(
    registry: HttpRegistry, name: str, chance: random.Random, transitions: int
) -> tuple[list[datetime], list[Report]]:
    """Change stages at random; return the times of the changes of production and the expected reports."""
    expected = Model()
    moments: list[datetime] = []
    for _ in range(VERSIONS):
        version_of(registry, name)
        expected.register("ann", None)
    for turn in range(transitions):
        _move(registry, name, expected, chance, f"turn {turn}")
        if len(moments) < len(expected.tenures):
            moments.append(registry.production.at(name).since)
    return moments, [Report(version, BY, reason) for version, _, reason in expected.tenures]


def _move(registry: HttpRegistry, name: str, expected: Model, chance: random.Random, reason: str) -> None:
    """Roll back, or move a random version to a permitted stage."""
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


def _moments_to_check(chance: random.Random, began: datetime, moments: list[datetime]) -> list[datetime]:
    around = [moment + shift * MICROSECOND for moment in moments for shift in (-1, 0, 1)]
    between = [since + (until - since) * chance.random() for since, until in itertools.pairwise(moments)]
    moments_to_check = [began, *around, *between]
    chance.shuffle(moments_to_check)
    return moments_to_check


def _resolved(registry: HttpRegistry, name: str, moment: datetime) -> int | None:
    try:
        return registry.resolve(f"models:/{name}/production?as_of={moment.isoformat()}").version
    except VersionNotFound:
        return None
