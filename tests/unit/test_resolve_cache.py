"""What is given when a reference is resolved, on clocks of the test's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common_lib import RegistryConfig
from common_lib.client.cache import Refresh, ResolveCache
from common_lib.client.policy import Pause, Policy, Send
from common_lib.client.telemetry import Logging
from common_lib.client.transport import Failure
from common_lib.config import ResolveRules
from common_lib.errors import ConnectionFailed, RegistryUnavailable
from common_lib.operations import aliases, versions
from common_lib.operations.base import Answer, Operation

RESOLVE = versions.resolve("models:/eurusd/production")
CUT = Failure(ConnectionFailed, "http://x: ReadError")


def version(number: int) -> Answer:
    """The answer that names a version; nothing looks inside here."""
    return Answer(200, {"etag": f'"{number}"'}, b"%d" % number)


class World:
    """One client with a cache, whose registry is whatever the test says."""

    def __init__(self, serve: Callable[[], Any], **rules: Any) -> None:
        self.now, self.wall = 1_000.0, 1_800_000_000.0
        self.serve = serve
        self.asked = 0
        self.refreshing: list[Operation[Any]] = []
        self._rules = ResolveRules(**rules)
        config = RegistryConfig(attempts=1, deadline_s=1e9)
        self.policy = Policy(config, clock=lambda: self.now, uniform=lambda _, high: high)
        self.restart()

    def restart(self) -> None:
        """A new process: only the file is left."""
        self.cache = ResolveCache(self._rules, Logging(), clock=lambda: self.now, wall=lambda: self.wall)

    def call(self, operation: Operation[Any] = RESOLVE) -> Answer:
        """One call."""
        return self._drive(operation, self.cache.steps(operation, lambda: self.policy.steps(operation)))

    def refresh(self) -> None:
        """Let what waits in the background run."""
        while self.refreshing:
            operation = self.refreshing.pop()
            try:
                answer = self._drive(operation, self.policy.steps(operation))
            except RegistryUnavailable:
                self.cache.refreshed(operation, None)
            else:
                self.cache.refreshed(operation, answer)

    def told(self) -> tuple[bytes, str, str]:
        """The body of an answer, whether it is stale, and where it is from."""
        answer = self.call()
        return answer.body, answer.headers.get("x-stale", "false"), answer.headers.get("x-source", "registry")

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
                    reply = self.serve()
                case Pause(seconds):
                    self.later(seconds)
                case Refresh(asked):
                    self.refreshing.append(asked)


def test_a_fresh_answer_is_not_asked_for_again() -> None:
    """Within five seconds."""
    world = World(lambda: version(1))
    world.call()
    world.later(4.9)
    assert world.told() == (b"1", "false", "cache")
    assert world.asked == 1


def test_an_older_one_is_given_and_asked_for_in_the_background() -> None:
    """Once, however many want it; then it is fresh again."""
    world = World(lambda: version(1))
    world.call()
    world.serve = lambda: version(2)
    world.later(30)
    assert [world.told() for _ in range(3)] == [(b"1", "true", "cache")] * 3
    assert (world.asked, len(world.refreshing)) == (1, 1)
    world.refresh()
    assert world.told() == (b"2", "false", "cache")


def test_what_is_old_is_asked_for_first() -> None:
    """After a minute the registry's word counts."""
    world = World(lambda: version(1))
    world.call()
    world.serve = lambda: version(2)
    world.later(61)
    assert world.told() == (b"2", "false", "registry")


def test_in_an_outage_everything_is_answered_for_a_day() -> None:
    """Stale, with the reason and its age; then there is no answer any more."""
    world = World(lambda: version(1))
    world.call()
    world.serve = lambda: CUT
    for _ in range(600):
        world.later(1)
        assert world.call().body == b"1"
    answer = world.call()
    assert (answer.headers["x-stale"], answer.headers["age"]) == ("true", "600.000")
    assert answer.headers["x-stale-reason"]
    assert world.asked < 100
    world.later(86_400)
    with pytest.raises(RegistryUnavailable):
        world.call()


def test_a_failed_refresh_is_tried_again() -> None:
    """It does not stay at work for ever."""
    world = World(lambda: version(1))
    world.call()
    world.serve = lambda: CUT
    for _ in range(2):
        world.later(10)
        assert world.told() == (b"1", "true", "cache")
        assert len(world.refreshing) == 1
        world.refresh()


@pytest.mark.parametrize("status", [404, 410, 401, 403, 422])
def test_a_refusal_is_told(status: int) -> None:
    """What is gone or forbidden is not covered up by what was."""
    world = World(lambda: version(1))
    world.call()
    world.later(61)
    world.serve = lambda: Answer(status, {}, b"{}")
    assert world.call().status == status
    world.later(1)
    assert world.call().status == status


@pytest.mark.parametrize(("status", "expected"), [(401, 200), (403, 200), (404, 404)])
def test_trading_goes_on_through_an_expired_token(status: int, expected: int) -> None:
    """Where that is wanted, and never through what is gone."""
    world = World(lambda: version(1), through_denial=True)
    world.call()
    world.later(61)
    world.serve = lambda: Answer(status, {}, b"{}")
    answer = world.call()
    assert answer.status == expected
    if expected == 200:
        assert answer.headers["x-stale-reason"] == f"status {status}"


def test_a_change_of_ones_own_is_seen_at_once() -> None:
    """Also when a refresh, asked for before the change, comes back after it."""
    world = World(lambda: version(1))
    world.call()
    world.later(10)
    world.call()
    world.serve = lambda: Answer(200, {}, b"{}")
    world.call(aliases.move("eurusd", "champion", 2, revision=1))
    world.serve = lambda: version(1)
    world.refresh()
    world.serve = lambda: version(2)
    assert world.told() == (b"2", "false", "registry")


def test_a_new_process_knows_what_the_last_one_knew(tmp_path: Path) -> None:
    """Out of a file, which says how old it is; the first resolve in an outage is answered."""
    world = World(lambda: version(1), snapshot=tmp_path / "resolves.json")
    world.call()
    world.cache.save()
    world.later(3_600)
    world.now = 5.0  # the monotonic clock of another process
    world.restart()
    world.serve = lambda: CUT
    answer = world.call()
    assert (answer.body, answer.headers["x-source"]) == (b"1", "snapshot")
    assert float(answer.headers["age"]) == pytest.approx(3_600, abs=11)
    assert (tmp_path / "resolves.json").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["resolves.json"]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "json", "missing"])
def test_a_damaged_file_is_as_if_there_were_none(tmp_path: Path, damage: str) -> None:
    """Nothing of it is believed."""
    place = tmp_path / "resolves.json"
    world = World(lambda: version(1), snapshot=place)
    world.call()
    world.cache.save()
    whole = place.read_bytes()
    changed = {"flip": whole.replace(b'"1"', b'"7"'), "cut": whole[:-1], "empty": b"", "json": json.dumps([1]).encode()}
    if damage == "missing":
        place.unlink()
    else:
        place.write_bytes(changed[damage])
    world.restart()
    world.serve = lambda: CUT
    with pytest.raises(RegistryUnavailable):
        world.call()


def test_the_wall_clock_set_back_has_no_effect() -> None:
    """Ages are counted on the monotonic one."""
    world = World(lambda: version(1))
    world.call()
    world.wall -= 3_600
    world.later(4)
    assert world.told() == (b"1", "false", "cache")
    world.later(2)
    assert world.told() == (b"1", "true", "cache")


def test_what_is_not_resolved_is_always_asked_for() -> None:
    """A read of a version, a write."""
    world = World(lambda: version(1))
    for _ in range(3):
        world.call(versions.get("eurusd", 1))
    assert world.asked == 3
