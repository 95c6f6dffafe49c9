"""Concurrent calls for one path share one request."""

import sys
import threading
import time
from pathlib import Path

import pytest

from common_lib.client.steps import Send, Wait
from common_lib.deadline import deadline
from common_lib.errors import ConnectionFailed, DeadlineExceeded
from common_lib.operations import aliases
from common_lib.operations.base import Answer
from tests.support.answers import version_answer
from tests.support.cached_client import CUT, CachedClient


def test_a_flight_from_before_a_change_is_not_joined_after_it() -> None:
    """A call after the change starts a new flight, and the late answer of the old one is not stored."""
    client = CachedClient(lambda: version_answer(1))
    early = client.steps()
    assert isinstance(next(early), Send)
    client.answer = lambda: Answer(200, {}, b"{}")
    client.call(aliases.move("eurusd", "champion", 2, revision=1))
    assert isinstance(next(client.steps()), Send)
    with pytest.raises(StopIteration):
        early.send(version_answer(1))
    client.answer = lambda: version_answer(2)
    assert client.resolve() == (2, False, "registry")


def test_the_end_of_a_flight_from_before_a_change_leaves_the_new_flight() -> None:
    """Calls after the change still share one request when the answer to the old one arrives."""
    client = CachedClient(lambda: version_answer(1))
    early, late = client.steps(), client.steps()
    next(early)
    client.answer = lambda: Answer(200, {}, b"{}")
    client.call(aliases.move("eurusd", "champion", 2, revision=1))
    assert isinstance(next(late), Send)
    with pytest.raises(StopIteration):
        early.send(version_answer(1))
    assert isinstance(next(client.steps()), Wait)


def test_concurrent_calls_share_one_request() -> None:
    """The others wait and receive the same answer, or each an error of its own."""
    for outcome in (version_answer(1), CUT):
        client = CachedClient(lambda: version_answer(1))
        leader = client.steps()
        next(leader)
        followers = [client.steps() for _ in range(9)]
        waits = [next(follower) for follower in followers]
        assert all(isinstance(wait, Wait) and 0 < wait.seconds <= 10 for wait in waits)
        expected = ConnectionFailed if outcome is CUT else StopIteration
        with pytest.raises(expected):
            leader.send(outcome)
        result = waits[0].result.result(0)
        errors = []
        for follower in followers:
            with pytest.raises(expected) as ended:
                follower.send(result)
            errors.append(ended.value)
        assert len(set(map(id, errors))) == 9


def test_a_waiting_call_fetches_if_the_first_one_is_cancelled() -> None:
    """A call without time left raises DeadlineExceeded instead."""
    client = CachedClient(lambda: version_answer(1))
    leader, follower = client.steps(), client.steps()
    next(leader)
    wait = next(follower)
    leader.close()
    assert wait.result.result(0) is None
    assert isinstance(follower.send(None), Send)
    with deadline(0.0):
        late = client.steps()
        with pytest.raises(DeadlineExceeded):
            next(late)


def test_many_threads_share_one_request(tmp_path: Path) -> None:
    """64 threads, each with a driver, call at the same time."""
    client = CachedClient(lambda: version_answer(1))
    sent: list[int] = []
    together = threading.Barrier(64)

    def call() -> None:
        together.wait()
        steps, reply = client.steps(), None
        try:
            while True:
                step = steps.send(reply)
                if isinstance(step, Send):
                    sent.append(1)
                    time.sleep(0.05)
                    reply = version_answer(1)
                else:
                    assert isinstance(step, Wait)
                    reply = step.result.result(step.seconds)
        except StopIteration:
            pass

    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=call) for _ in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switching)
    assert len(sent) == 1
