"""What is given when a reference is resolved, on clocks of the test's own."""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common_lib import RegistryConfig
from common_lib.client import resolve_cache
from common_lib.client.cache_file import CacheFile
from common_lib.client.failures import Failure
from common_lib.client.resilience import Resilience
from common_lib.client.resolve_cache import ResolveCache
from common_lib.client.steps import Pause, Refresh, Save, Send, Wait
from common_lib.client.telemetry import Logging
from common_lib.config import ResolveRules
from common_lib.deadline import deadline
from common_lib.errors import AnswerTimedOut, ConnectionFailed, DeadlineExceeded, ProtocolError, RegistryUnavailable
from common_lib.operations import aliases, versions
from common_lib.operations.base import Answer, Operation
from common_lib.staleness import FailClosed, KeepLastGood, Provenance, ServeStale
from tests.support.answers import problem_answer, version_answer

RESOLVE = versions.resolve("models:/eurusd/production")
CUT = Failure(ConnectionFailed, "http://x: ReadError")
GONE = problem_answer(404, "version_not_found")
PROXY = Answer(404, {"content-type": "text/html"}, b"<h1>no such host</h1>")


class World:
    """One client with a cache, whose registry is whatever the test says."""

    def __init__(self, serve: Callable[[], Any], *, file: Path | None = None, **rules: Any) -> None:
        self.now, self.wall = 1_000.0, 1_800_000_000.0
        self.serve = serve
        self.attempt_s = 0.0
        self.asked = self.saves = 0
        self.refresh_steps: list[Operation[Any]] = []
        self._rules = ResolveRules(**rules)
        self._file = file
        config = RegistryConfig(attempts=1, deadline_s=1e9)
        self.resilience = Resilience(config, clock=lambda: self.now, uniform=lambda _, high: high)
        self.restart()

    def restart(self, principal: str = "one") -> None:
        """A new process: only the file is left."""
        file = (
            None if self._file is None else CacheFile(self._file, "http://x", principal, wall_clock=lambda: self.wall)
        )
        self.cache = ResolveCache(self._rules, Logging(), file=file, clock=lambda: self.now)

    def call(self, operation: Operation[Any] = RESOLVE) -> Answer:
        """One call."""
        return self._drive(operation, self.steps(operation))

    def steps(self, operation: Operation[Any] = RESOLVE) -> Any:
        """The steps of one call."""
        return self.cache.steps(
            operation,
            lambda *began: self.resilience.steps(operation, *began),
            lambda: self.resilience.is_rejecting(operation.route_class),
        )

    def refresh(self) -> None:
        """Let what waits in the background run."""
        while self.refresh_steps:
            operation = self.refresh_steps.pop()
            with contextlib.suppress(RegistryUnavailable):
                steps = self.cache.refresh_steps(operation, lambda *began: self.resilience.steps(RESOLVE, *began))
                self._drive(operation, steps)

    def told(self, operation: Operation[Any] = RESOLVE) -> tuple[int, bool, str]:
        """Which version an answer names, whether it is stale, and where it is from."""
        answer = self.call(operation)
        return operation.result(answer).version, answer.provenance.stale, answer.provenance.source

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.wall += seconds

    def _drive(self, operation: Operation[Any], steps: Any) -> Answer:
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                answer: Answer = done.value
                return answer
            reply = None
            match step:
                case Send():
                    self.asked += 1
                    self.later(self.attempt_s)
                    reply = self.serve()
                case Pause(seconds):
                    self.later(seconds)
                case Refresh(asked):
                    self.refresh_steps.append(asked)
                case Wait(outcome, seconds):
                    self.refresh()
                    reply = outcome.result(0) if outcome.done() else self.later(seconds)
                case Save():
                    self.saves += 1
                    self.cache.save()


def test_a_fresh_answer_is_not_asked_for_again() -> None:
    """Within five seconds."""
    world = World(lambda: version_answer(1))
    world.call()
    world.later(4.9)
    assert world.told() == (1, False, "cache")
    assert world.asked == 1


def test_an_older_one_is_given_and_asked_for_in_the_background() -> None:
    """Once, however many want it; then it is fresh again."""
    world = World(lambda: version_answer(1))
    world.call()
    world.serve = lambda: version_answer(2)
    world.later(30)
    assert [world.told() for _ in range(3)] == [(1, True, "cache")] * 3
    assert (world.asked, len(world.refresh_steps)) == (1, 1)
    world.refresh()
    assert world.told() == (2, False, "cache")


def test_what_is_old_is_asked_for_first() -> None:
    """After a minute the registry's word counts."""
    world = World(lambda: version_answer(1))
    world.call()
    world.serve = lambda: version_answer(2)
    world.later(61)
    assert world.told() == (2, False, "registry")


def test_an_answer_is_as_old_as_its_question() -> None:
    """What took three seconds to come may have been decided three seconds ago."""
    world = World(lambda: version_answer(1))
    world.attempt_s = 3.0
    world.call()
    assert world.call().provenance.age_s == 3.0


def test_in_an_outage_everything_is_answered_for_a_day() -> None:
    """Stale, with the reason and its age; then there is no answer any more."""
    world = World(lambda: version_answer(1))
    world.call()
    world.serve = lambda: CUT
    for _ in range(600):
        world.later(1)
        assert world.told()[0] == 1
        world.refresh()
    known = world.call().provenance
    assert (known.stale, known.age_s, known.source) == (True, 600.0, "cache")
    assert known.reason
    # Beside what opened it, a probe each time that the circuit was open, for 4.5 s at least: a quarter less than 6.
    assert world.asked < 20 + 600 / 4.5
    world.later(86_400)
    with pytest.raises(RegistryUnavailable):
        world.call()


def test_nobody_waits_for_a_registry_that_hangs() -> None:
    """Ten minutes of a call each second, each attempt in the background takes ten: no call takes any time."""
    world = World(lambda: version_answer(1))
    world.call()
    world.serve = lambda: Failure(AnswerTimedOut, "http://x: ReadTimeout")
    ends = world.now + 600
    while world.now < ends:
        world.later(1)
        before = world.now
        assert world.told()[0] == 1
        assert world.now == before
        world.attempt_s = 10.0
        world.refresh()


def test_a_failed_refresh_is_tried_again() -> None:
    """It does not stay at work for ever."""
    world = World(lambda: version_answer(1))
    world.call()
    world.serve = lambda: CUT
    for _ in range(2):
        world.later(10)
        assert world.told() == (1, True, "cache")
        assert len(world.refresh_steps) == 1
        world.refresh()
    assert "ReadError" in world.call().provenance.reason


@pytest.mark.parametrize(
    ("status", "code"), [(404, "model_not_found"), (410, "version_not_found"), (422, "invalid_reference")]
)
def test_a_refusal_is_told(status: int, code: str) -> None:
    """What is gone is not covered up by what was, not even by a last good answer in an outage."""
    world = World(lambda: version_answer(1))
    world.call()
    world.later(61)
    world.serve = lambda: problem_answer(status, code)
    assert world.call().status == status
    world.serve = lambda: CUT
    with pytest.raises(ConnectionFailed):
        world.call()


def test_a_denial_is_told_and_covers_nothing_up() -> None:
    """Asked for in the background or not, nothing is given until the token is good again."""
    world = World(lambda: version_answer(1))
    world.call()
    world.later(10)
    world.serve = lambda: problem_answer(401, "unauthenticated")
    world.call()
    world.refresh()
    assert world.call().status == 401
    world.serve = lambda: CUT
    with pytest.raises(ConnectionFailed):
        world.call()
    world.serve = lambda: version_answer(1)
    assert [world.told()[0], *world.told()] == [1, 1, False, "cache"]


@pytest.mark.parametrize("by", ["rule", "caller"])
@pytest.mark.parametrize(("status", "code"), [(401, "unauthenticated"), (403, "forbidden"), (404, "model_not_found")])
def test_trading_goes_on_through_an_expired_token(status: int, code: str, by: str) -> None:
    """Where that is wanted, saying why, and never through what is gone."""
    world = World(lambda: version_answer(1), serve_on_auth_failure=by == "rule")
    operation = RESOLVE if by == "rule" else asking(KeepLastGood(max_age_s=3600))
    world.call(operation)
    world.later(61)
    world.serve = lambda: problem_answer(status, code)
    answer = world.call(operation)
    if status == 404:
        assert answer.status == 404
    else:
        assert (answer.provenance.stale, answer.provenance.age_s) == (True, 61.0)
        assert answer.provenance.reason == f"it is {code} [{code}]"
        world.later(86_400)
        assert world.call(operation).status == status


def asking(staleness: Any) -> Operation[Any]:
    """The same by a caller who says how old an answer may be."""
    return replace(RESOLVE, staleness=staleness)


def test_a_denied_caller_takes_nothing_from_one_who_goes_on() -> None:
    """Two adapters share a client: what one is told makes the other forget nothing."""
    world = World(lambda: version_answer(1))
    world.call()
    world.later(61)
    world.serve = lambda: problem_answer(401, "unauthenticated")
    assert world.call().status == 401
    assert world.told(asking(KeepLastGood(max_age_s=3600))) == (1, True, "cache")


def test_a_caller_may_take_nothing_stale() -> None:
    """Who fails closed gets fresh answers, or the error."""
    world = World(lambda: version_answer(1))
    closed = asking(FailClosed())
    world.call(closed)
    world.later(4)
    assert world.told(closed) == (1, False, "cache")
    world.later(2)
    world.serve = lambda: version_answer(2)
    assert world.told(closed) == (2, False, "registry")
    world.later(6)
    world.serve = lambda: CUT
    with pytest.raises(ConnectionFailed):
        world.call(closed)
    assert world.told() == (2, True, "cache")


def test_a_caller_may_set_the_greatest_age() -> None:
    """Below the rules of the client, or beyond them."""
    world = World(lambda: version_answer(1), stale_s=100)
    world.call()
    world.serve = lambda: CUT
    world.later(50)
    with pytest.raises(ConnectionFailed):
        world.call(asking(ServeStale(max_age_s=30)))
    world.later(60)
    with pytest.raises(ConnectionFailed):
        world.call()
    assert world.told(asking(ServeStale(max_age_s=200)))[0] == 1


@pytest.mark.parametrize(
    "noise",
    [
        PROXY,
        Answer(404, {"content-type": "application/problem+json"}, b'{"title":"Not Found","status":404}'),
        Answer(302, {"location": "http://login"}, b""),
        Answer(200, {"content-type": "text/html"}, b"<h1>please log in</h1>"),
        Answer(200, {"content-type": "application/json"}, b'{"status":"maintenance"}'),
        Answer(507, {}, b""),
    ],
    ids=["404", "foreign-problem", "redirect", "portal", "json", "507"],
)
def test_what_somebody_on_the_way_says_is_no_answer(noise: Answer) -> None:
    """It neither replaces nor removes what is known; without anything known it is told as it is."""
    world = World(lambda: noise)
    assert world.call() is noise
    world.serve = lambda: version_answer(1)
    world.call()
    world.later(61)
    world.serve = lambda: noise
    assert world.told() == (1, True, "cache")
    assert str(noise.status) in world.call().provenance.reason or "not a ModelVersion" in world.call().provenance.reason
    world.serve = lambda: CUT
    assert world.told() == (1, True, "cache")


def test_a_forged_age_is_not_believed() -> None:
    """Headers say nothing of what is known on this side."""
    told = version_answer(1)
    forged = Answer(200, {**told.headers, "age": "1e9", "x-stale": "true", "x-source": "cache"}, told.body)
    world = World(lambda: forged)
    for _ in range(2):
        found = versions.resolution("models:/eurusd/production").result(world.call())
        assert (found.stale, found.age_s) == (False, 0.0)


def test_a_change_of_ones_own_is_seen_at_once() -> None:
    """Also when a refresh, asked for before the change, comes back after it."""
    world = World(lambda: version_answer(1))
    world.call()
    world.later(10)
    world.call()
    refresh = world.cache.refresh_steps(RESOLVE, lambda *began: world.resilience.steps(RESOLVE, *began))
    next(refresh)
    world.serve = lambda: Answer(200, {}, b"{}")
    world.call(aliases.move("eurusd", "champion", 2, revision=1))
    with pytest.raises(StopIteration):
        refresh.send(version_answer(1))
    world.serve = lambda: version_answer(2)
    assert [world.told() for _ in range(2)] == [(2, False, "registry"), (2, False, "cache")]


def test_a_change_that_got_no_answer_may_have_been_made() -> None:
    """So what was known before it is not given any more."""
    world = World(lambda: version_answer(1))
    world.call()
    world.serve = lambda: CUT
    with pytest.raises(ConnectionFailed):
        world.call(aliases.move("eurusd", "champion", 2, revision=1))
    world.serve = lambda: version_answer(2)
    assert world.told() == (2, False, "registry")


def test_an_answer_asked_for_before_a_change_of_ones_own_is_not_shared_after_it() -> None:
    """Who asks after the change asks anew, and what comes back late is not kept."""
    world = World(lambda: version_answer(1))
    early = world.steps()
    assert isinstance(next(early), Send)
    world.serve = lambda: Answer(200, {}, b"{}")
    world.call(aliases.move("eurusd", "champion", 2, revision=1))
    assert isinstance(next(world.steps()), Send)
    with pytest.raises(StopIteration):
        early.send(version_answer(1))
    world.serve = lambda: version_answer(2)
    assert world.told() == (2, False, "registry")


def test_it_is_asked_once_however_many_want_it() -> None:
    """The others wait, and get the same answer or an error of their own."""
    for outcome in (version_answer(1), CUT):
        world = World(lambda: version_answer(1))
        leader = world.steps()
        next(leader)
        followers = [world.steps() for _ in range(9)]
        waits = [next(follower) for follower in followers]
        assert all(isinstance(wait, Wait) and 0 < wait.seconds <= 10 for wait in waits)
        expected = ConnectionFailed if outcome is CUT else StopIteration
        with pytest.raises(expected):
            leader.send(outcome)
        told = waits[0].result.result(0)
        errors = []
        for follower in followers:
            with pytest.raises(expected) as ended:
                follower.send(told)
            errors.append(ended.value)
        assert len(set(map(id, errors))) == 9


def test_who_gives_up_leaves_the_question_to_the_next() -> None:
    """Cancelled, or out of time of its own: the next one who waited asks."""
    world = World(lambda: version_answer(1))
    leader, follower = world.steps(), world.steps()
    next(leader)
    wait = next(follower)
    leader.close()
    assert wait.result.result(0) is None
    assert isinstance(follower.send(None), Send)
    with deadline(0.0):
        late = world.steps()
        with pytest.raises(DeadlineExceeded):
            next(late)


def test_the_bound_drops_what_was_not_asked_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for since stays."""
    monkeypatch.setattr(resolve_cache, "_MAX_ENTRIES", 3)
    world = World(lambda: version_answer(1))
    asked = [versions.resolve(f"models:/eurusd@other{number}") for number in range(1, 5)]
    for operation in asked[:3]:
        world.call(operation)
    world.later(61)
    world.call(asked[0])
    world.call(asked[3])
    before = world.asked
    world.call(asked[0])
    assert world.asked == before
    world.call(asked[1])
    assert world.asked == before + 1


def test_a_hit_takes_microseconds_and_no_lock() -> None:
    """It is given while another thread holds the lock, as one that keeps an answer does."""
    world = World(lambda: version_answer(1))
    world.call()
    calls = 2_000
    with world.cache._lock:
        began = time.perf_counter()
        for _ in range(calls):
            world.call()
        took = (time.perf_counter() - began) / calls
    print(f"{took * 1e6:.1f} µs")
    assert world.asked == 1


def test_a_new_process_knows_what_the_last_one_knew(tmp_path: Path) -> None:
    """Out of a file, which says how old it is; the first resolve in an outage is answered."""
    world = World(lambda: version_answer(1), file=tmp_path / "resolves" / "one")
    world.call()
    assert world.saves == 1
    world.later(3_600)
    world.now = 5.0  # the monotonic clock of another process
    world.restart()
    world.serve = lambda: CUT
    answer = world.call()
    assert (RESOLVE.result(answer).version, answer.provenance.source) == (1, "disk-cache")
    assert answer.provenance.age_s == pytest.approx(3_600, abs=11)
    assert (tmp_path / "resolves" / "one").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "resolves").stat().st_mode & 0o777 == 0o700
    assert [file.name for file in (tmp_path / "resolves").iterdir()] == ["one"]


def test_it_is_saved_every_few_seconds_and_at_the_end(tmp_path: Path) -> None:
    """And only when there is something to say."""
    world = World(lambda: version_answer(1), file=tmp_path / "one")
    asked = [versions.resolve(f"models:/eurusd@other{number}") for number in (1, 2, 3)]
    for operation in asked[:2]:
        world.call(operation)
    assert world.saves == 1
    world.later(5)
    world.call(asked[2])
    assert world.saves == 2
    before = (tmp_path / "one").stat().st_ino
    world.cache.save()
    assert (tmp_path / "one").stat().st_ino == before


def test_processes_share_the_file_and_what_is_gone_stays_gone(tmp_path: Path) -> None:
    """Each adds what it heard; what one was refused or changed does not come back."""
    one = World(lambda: version_answer(1), file=tmp_path / "one")
    two = World(lambda: version_answer(1), file=tmp_path / "one")
    mine, yours = versions.resolve("models:/eurusd@other1"), versions.resolve("models:/eurusd@other2")
    one.call(mine)
    two.call(yours)
    third = World(lambda: CUT, file=tmp_path / "one")
    assert [third.told(operation)[0] for operation in (mine, yours)] == [1, 1]
    one.later(61)
    one.serve = lambda: GONE
    one.call(mine)
    one.cache.save()
    third.restart()
    assert third.told(yours)[0] == 1
    with pytest.raises(ConnectionFailed):
        third.call(mine)


def test_a_recall_is_not_undone_by_a_process_that_has_not_heard_of_it(tmp_path: Path) -> None:
    """Whoever saves what it heard before, even of the same path, does not bring back what was refused since."""
    one = World(lambda: version_answer(1), file=tmp_path / "one")
    two = World(lambda: version_answer(1), file=tmp_path / "one")
    for world in (one, two):
        world.call()
        world.later(61)
    one.serve = lambda: problem_answer(410, "version_recalled")
    one.call()
    one.cache.save()
    two.call(versions.resolve("models:/eurusd@other2"))
    two.cache.save()
    three = World(lambda: CUT, file=tmp_path / "one")
    three.later(62)
    three.restart()
    with pytest.raises(ConnectionFailed):
        three.call()
    for world in (one, two):
        world.later(1)
    two.serve = lambda: version_answer(3)
    two.call()
    two.cache.save()
    one.call(versions.resolve("models:/eurusd@other2"))
    one.cache.save()
    three.restart()
    assert three.told()[0] == 3


def test_what_was_heard_last_is_kept_whoever_saves_last(tmp_path: Path) -> None:
    """Not the older answer of a process that saves later, for something else that it has heard."""
    one = World(lambda: version_answer(1), file=tmp_path / "one")
    two = World(lambda: version_answer(2), file=tmp_path / "one")
    one.call()
    for world in (one, two):
        world.later(61)
    two.call()
    one.call(versions.resolve("models:/eurusd@other7"))
    one.cache.save()
    two.restart()
    two.serve = lambda: CUT
    assert two.told()[0] == 2


def test_an_answer_about_another_model_is_none() -> None:
    """One that a proxy mixed up is neither given nor kept; what was known before is."""
    world = World(lambda: version_answer(1))
    world.call()
    world.later(61)
    other = version_answer(2)
    world.serve = lambda: Answer(200, other.headers, other.body.replace(b"eurusd", b"gbpusd"))
    assert world.told() == (1, True, "cache")
    world.restart()
    for operation in (RESOLVE, versions.resolution("models:/eurusd/production")):
        with pytest.raises(ProtocolError, match="gbpusd"):
            operation.result(world.call(operation))


def test_nobody_reads_what_another_principal_may_see(tmp_path: Path) -> None:
    """Not even out of the same file."""
    world = World(lambda: version_answer(1), file=tmp_path / "one")
    world.call()
    world.restart("two")
    world.serve = lambda: CUT
    with pytest.raises(ConnectionFailed):
        world.call()
    ours, theirs = (CacheFile.default("http://x", token) for token in ("one", "two"))
    assert ours is not None
    assert theirs is not None
    assert ours.path != theirs.path


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "json", "missing", "pipe", "folder"])
def test_a_damaged_file_is_as_if_there_were_none(tmp_path: Path, damage: str) -> None:
    """Nothing of it is believed, and a pipe in its place holds nobody up."""
    place = tmp_path / "resolves.json"
    world = World(lambda: version_answer(1), file=place)
    world.call()
    whole = place.read_bytes()
    changed = {
        "flip": whole.replace(b": 1,", b": 7,"),
        "cut": whole[:-1],
        "empty": b"",
        "json": json.dumps([1]).encode(),
    }
    place.unlink()
    if damage == "pipe":
        os.mkfifo(place)
    elif damage == "folder":
        place.mkdir()
    elif damage != "missing":
        place.write_bytes(changed[damage])
        assert changed[damage] != whole
    world.restart()
    world.serve = lambda: CUT
    with pytest.raises(RegistryUnavailable):
        world.call()


def test_a_file_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And stops nothing."""
    (tmp_path / "file").touch()
    world = World(lambda: version_answer(1), file=tmp_path / "file" / "resolves")
    for _ in range(3):
        assert world.told()[0] == 1
        world.later(61)
    assert [record.message.count("cannot be written") for record in caplog.records] == [1]


def test_the_wall_clock_has_no_effect_on_a_running_process() -> None:
    """Ages are counted on the monotonic one, whether the other is set back or forward."""
    for hours in (-1, 1):
        world = World(lambda: version_answer(1))
        world.call()
        world.wall += hours * 3_600
        world.later(4)
        assert world.told() == (1, False, "cache")
        world.later(2)
        assert world.told() == (1, True, "cache")


def test_what_comes_from_the_future_is_not_fresh(tmp_path: Path) -> None:
    """The clock was set back between two processes: it is asked for first, and given only if nobody answers."""
    world = World(lambda: version_answer(1), file=tmp_path / "one")
    world.call()
    world.wall -= 3_600
    world.restart()
    world.serve = lambda: version_answer(2)
    assert world.told() == (2, False, "registry")
    world.wall -= 3_600
    world.restart()
    world.serve = lambda: CUT
    assert world.told() == (2, True, "disk-cache")


def test_what_is_not_resolved_is_always_asked_for() -> None:
    """A read of a version, a write."""
    world = World(lambda: version_answer(1))
    for _ in range(3):
        assert world.call(versions.get("eurusd", 1)).provenance == Provenance()
    assert world.asked == 3


def test_many_threads_at_once_ask_once(tmp_path: Path) -> None:
    """64 of them begin together on the same cache, each with its own driver."""
    world = World(lambda: version_answer(1))
    asked: list[int] = []
    together = threading.Barrier(64)

    def call() -> None:
        together.wait()
        steps, reply = world.steps(), None
        try:
            while True:
                step = steps.send(reply)
                if isinstance(step, Send):
                    asked.append(1)
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
    assert len(asked) == 1
