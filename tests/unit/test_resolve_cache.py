"""When a client serves a stored answer, when it refreshes it, and when it removes it, on a simulated clock."""

import time

import pytest

from common_lib.client import resolve_cache
from common_lib.errors import ConnectionFailed
from common_lib.operations import aliases, versions
from common_lib.operations.base import Answer
from common_lib.staleness import Provenance
from tests.support.answers import version_answer
from tests.support.cached_client import CUT, CachedClient


def test_a_fresh_answer_is_served_without_a_request() -> None:
    """An answer is fresh for five seconds."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.wait(4.9)
    assert client.resolve() == (1, False, "cache")
    assert client.requests == 1


def test_a_stale_answer_is_served_and_refreshed_in_the_background() -> None:
    """One refresh serves all callers, and its answer is fresh."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.answer = lambda: version_answer(2)
    client.wait(30)
    assert [client.resolve() for _ in range(3)] == [(1, True, "cache")] * 3
    assert (client.requests, len(client.refreshes)) == (1, 1)
    client.run_refreshes()
    assert client.resolve() == (2, False, "cache")


def test_an_old_answer_is_revalidated_before_it_is_served() -> None:
    """After a minute the registry is asked first."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.answer = lambda: version_answer(2)
    client.wait(61)
    assert client.resolve() == (2, False, "registry")


def test_the_age_of_an_answer_counts_from_its_request() -> None:
    """The registry may have decided an answer as soon as the request was sent."""
    client = CachedClient(lambda: version_answer(1))
    client.attempt_s = 3.0
    client.call()
    assert client.call().provenance.age_s == 3.0


def test_a_failed_refresh_is_repeated() -> None:
    """A refresh that failed does not count as under way."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.answer = lambda: CUT
    for _ in range(2):
        client.wait(10)
        assert client.resolve() == (1, True, "cache")
        assert len(client.refreshes) == 1
        client.run_refreshes()
    assert "ReadError" in client.call().provenance.reason


def test_headers_of_an_answer_do_not_set_its_provenance() -> None:
    """Age and source are determined by the client alone."""
    honest = version_answer(1)
    forged = Answer(200, {**honest.headers, "age": "1e9", "x-stale": "true", "x-source": "cache"}, honest.body)
    client = CachedClient(lambda: forged)
    for _ in range(2):
        found = versions.resolution("models:/eurusd/production").result(client.call())
        assert (found.stale, found.age_s) == (False, 0.0)


def test_a_client_sees_its_own_change_at_once() -> None:
    """A refresh from before the change that ends after it is discarded."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.wait(10)
    client.call()
    refresh = client.refresh_steps()
    next(refresh)
    client.answer = lambda: Answer(200, {}, b"{}")
    client.call(aliases.move("eurusd", "champion", 2, revision=1))
    with pytest.raises(StopIteration):
        refresh.send(version_answer(1))
    client.answer = lambda: version_answer(2)
    assert [client.resolve() for _ in range(2)] == [(2, False, "registry"), (2, False, "cache")]


def test_a_change_without_an_answer_removes_the_stored_answer() -> None:
    """The registry may have made the change."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.answer = lambda: CUT
    with pytest.raises(ConnectionFailed):
        client.call(aliases.move("eurusd", "champion", 2, revision=1))
    client.answer = lambda: version_answer(2)
    assert client.resolve() == (2, False, "registry")


def test_the_entry_fetched_longest_ago_is_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that were fetched again since stay."""
    monkeypatch.setattr(resolve_cache, "_MAX_ENTRIES", 3)
    client = CachedClient(lambda: version_answer(1))
    operations = [versions.resolve(f"models:/eurusd@other{number}") for number in range(1, 5)]
    for operation in operations[:3]:
        client.call(operation)
    client.wait(61)
    client.call(operations[0])
    client.call(operations[3])
    requests = client.requests
    client.call(operations[0])
    assert client.requests == requests
    client.call(operations[1])
    assert client.requests == requests + 1


def test_a_fresh_answer_is_served_without_the_lock() -> None:
    """It is served while another thread holds the lock to store an answer."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    calls = 2_000
    with client.cache._lock:
        began = time.perf_counter()
        for _ in range(calls):
            client.call()
        took = (time.perf_counter() - began) / calls
    print(f"{took * 1e6:.1f} µs")
    assert client.requests == 1


def test_the_wall_clock_has_no_effect_on_a_running_process() -> None:
    """Ages are measured on the monotonic clock, also if the wall clock is set back or forward."""
    for hours in (-1, 1):
        client = CachedClient(lambda: version_answer(1))
        client.call()
        client.wall_time += hours * 3_600
        client.wait(4)
        assert client.resolve() == (1, False, "cache")
        client.wait(2)
        assert client.resolve() == (1, True, "cache")


def test_only_resolves_are_stored() -> None:
    """A read of a version is sent each time."""
    client = CachedClient(lambda: version_answer(1))
    for _ in range(3):
        assert client.call(versions.get("eurusd", 1)).provenance == Provenance()
    assert client.requests == 3
