"""Many concurrent writers over real sockets, on both engines."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from threading import Barrier

import pytest

from common_lib import FileEntry, HttpRegistry
from common_lib.errors import AlreadyExists, Conflict, ProductionChanged, RevisionMismatch
from common_lib.operations import versions as operations
from tests.conftest import Server
from tests.support.steps import version_of

WRITERS = 16
EMPTY = FileEntry(path="model.bin", size=7, sha256=hashlib.sha256(b"weights").hexdigest())


@pytest.mark.parametrize("total", [480, pytest.param(8_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_versions_of_many_writers_are_numbered_without_gap(server: Server, name: str, total: int) -> None:
    """16 writers on one model create exactly the versions 1 … n and as many events in one order."""
    with server.registry() as registry:
        registry.models.create(name, "regression")
        version_of(registry, name)
        before = _last(registry)

        def write(count: int) -> list[int]:
            with server.registry() as own:
                return [own.versions.create(name, [EMPTY], framework="test").version for _ in range(count)]

        with ThreadPoolExecutor(WRITERS) as pool:
            numbers = [number for share in pool.map(write, [total // WRITERS] * WRITERS) for number in share]
        assert sorted(numbers) == list(range(2, total + 2))
        assert registry.models.get(name).latest_version == total + 1
        assert [one.version for one in registry.versions.search(name, order="version")] == list(range(1, total + 2))
        assert _last(registry) - before == total


def test_of_many_promotions_of_one_revision_one_wins(server: Server, name: str) -> None:
    """One version is in production; each losing caller gets an error that names the winner."""
    with server.registry() as registry:
        registry.models.create(name, "regression")
        version_of(registry, name)
        registry.versions.transition(name, 1, "staging", revision=1)
    start = Barrier(WRITERS)

    def promote(_: int) -> str:
        with server.registry() as own:
            start.wait()
            try:
                own.versions.transition(name, 1, "production", reason="race", revision=2)
            except RevisionMismatch as lost:
                return f"lost to {lost.winner.by}: {lost.winner.reason}" if lost.winner else "no winner"
            return "won"

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = list(pool.map(promote, range(WRITERS)))
    assert outcomes.count("won") == 1
    assert outcomes.count("lost to admin: race") == WRITERS - 1


def test_promotions_of_different_versions_leave_one_in_production(server: Server, name: str) -> None:
    """Readers always see exactly one production version; each losing caller gets an error."""
    with server.registry() as registry:
        registry.models.create(name, "regression")
        for number in range(1, WRITERS + 1):
            version_of(registry, name)
            registry.versions.transition(name, number, "staging", revision=1)
        registry.versions.transition(name, 1, "production", reason="first", revision=2)
    start = Barrier(WRITERS)

    def promote(number: int) -> list[str]:
        seen, losses = 1, []
        with server.registry() as own:
            start.wait()
            while True:
                try:
                    own.production.promote(name, number, reason=f"race {number}", replacing=seen, revision=2)
                except ProductionChanged as lost:
                    seen = lost.winner.version if lost.winner and lost.winner.version else 0
                    losses.append(f"race {seen} is {lost.winner.reason if lost.winner else 'no winner'}")
                else:
                    return losses

    def watch() -> list[int]:
        seen = []
        with server.registry() as own:
            start.wait()
            for _ in range(50):
                assert own.models.get(name).production_version is not None
                seen.append(len(list(own.versions.search(name, stage="production"))))
        return seen

    with ThreadPoolExecutor(WRITERS) as pool:
        watching = pool.submit(watch)
        losses = [answer for answers in pool.map(promote, range(2, WRITERS + 1)) for answer in answers]
        assert set(watching.result()) == {1}
    assert set(losses) <= {f"race {number} is race {number}" for number in range(2, WRITERS + 1)}
    # All begin from the same incumbent, so each caller but the first loses at least once.
    assert len(losses) >= WRITERS - 2


def test_a_model_is_never_both_tombstoned_and_in_production(server: Server, name: str) -> None:
    """The decision that comes second is refused."""
    for turn in range(8):
        model = f"{name}-{turn}"
        with server.registry() as registry:
            registry.models.create(model, "regression")
            version_of(registry, model)
            registry.versions.transition(model, 1, "staging", revision=1)
        start = Barrier(2)

        def promote(model: str, start: Barrier = start) -> None:
            with server.registry() as own, suppress(Conflict):
                start.wait()
                own.versions.transition(model, 1, "production", reason="race", revision=2)

        def bury(model: str, start: Barrier = start) -> None:
            with server.registry() as own, suppress(Conflict):
                start.wait()
                own.models.tombstone(model, reason="race", revision=1)

        with ThreadPoolExecutor(2) as pool:
            for outcome in [pool.submit(promote, model), pool.submit(bury, model)]:
                outcome.result()
        with server.registry() as registry:
            after = registry.models.get(model)
        assert (after.tombstone is None) != (after.production_version is None)


def test_a_model_created_by_many_callers_exists_once(server: Server, name: str) -> None:
    """Names that differ only in case are equal in a race, too."""
    start = Barrier(WRITERS)

    def create(number: int) -> bool:
        spelled = name.upper() if number % 2 else name
        with server.registry() as own:
            start.wait()
            try:
                own.models.create(spelled, "regression")
            except AlreadyExists:
                return False
            return True

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(create, range(WRITERS))) == 1


def test_concurrent_copies_of_one_request_run_once(server: Server, name: str) -> None:
    """One key, one version, one event, one answer; a copy during the first run is asked to retry later."""
    with server.registry() as registry:
        registry.models.create(name, "regression")
        version_of(registry, name)
        before = _last(registry)
        operation = operations.create(name, [EMPTY], framework="test")

        def send(_: int) -> int:
            with server.registry() as own:
                return own.call(operation).version

        with ThreadPoolExecutor(WRITERS) as pool:
            assert set(pool.map(send, range(100))) == {2}
        assert _last(registry) - before == 1
        assert registry.models.get(name).latest_version == 2


def test_concurrent_edits_lose_no_change(server: Server, name: str) -> None:
    """Every caller that retries with the new revision stores its tag."""
    with server.registry() as registry:
        registry.models.create(name, "regression")

    def tag(number: int) -> None:
        with server.registry() as own:
            while True:
                seen = own.models.get(name)
                try:
                    own.models.update(name, revision=seen.revision, tags=seen.tags | {f"t{number}": "x"})
                except RevisionMismatch:
                    continue
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tag, range(8)))
    with server.registry() as registry:
        after = registry.models.get(name)
    assert len(after.tags) == 8
    assert after.revision == 9


def _last(registry: HttpRegistry) -> int:
    last = 0
    while events := registry.events.after(last, limit=1000):
        assert all(int(b.sequence) == int(a.sequence) + 1 for a, b in pairwise(events))
        last = int(events[-1].sequence)
    return last
