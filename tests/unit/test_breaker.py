"""The circuit breaker, on a clock of the test's own."""

import contextlib
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from common_lib.client.breaker import AttemptFailed, Breakers, Inconclusive
from common_lib.config import BreakerRules
from common_lib.errors import CircuitOpen

NAME = "http://registry resolve"


class World:
    """Breakers on a clock that only the test moves, and what they told."""

    def __init__(self, **rules: float) -> None:
        self.now = 1_000.0
        self.told: list[str] = []
        self.breakers = Breakers(
            BreakerRules(**rules),  # type: ignore[arg-type]
            clock=lambda: self.now,
            uniform=lambda _, high: high,
            listener=lambda _, state: self.told.append(state),
        )

    @property
    def state(self) -> str:
        """The state of the one circuit."""
        return self.breakers.circuit(NAME).state

    def call(self, outcome: Callable[[], object] | None = None, *, takes_s: float = 0.0) -> None:
        """One call through the breaker."""
        with contextlib.suppress(AttemptFailed), self.breakers.guard(NAME):
            self.now += takes_s
            if outcome is not None:
                outcome()

    def open(self) -> None:
        """Fail until it opens."""
        while self.state != "opened":
            self.call(failing)


def failing() -> None:
    """A failed attempt."""
    raise AttemptFailed


def test_it_opens_at_half_of_enough_calls() -> None:
    """Not before there are twenty, and not below the rate."""
    world = World()
    for _ in range(9):
        world.call()
        world.call(failing)
    world.call(failing)
    assert world.state == "closed"
    world.call(failing)
    assert (world.state, world.told) == ("opened", ["opened"])


def test_mostly_bad_for_ever_opens() -> None:
    """Four bad and one good, which a count of consecutive failures never sees."""
    world = World()
    for call in range(20):
        world.call(None if call % 5 == 4 else failing)
    assert world.state == "opened"


def test_a_few_failures_among_many_do_not_open_it() -> None:
    """One in five, for ever."""
    world = World()
    for call in range(10_000):
        world.call(failing if call % 5 == 0 else None, takes_s=0.01)
    assert world.told == []


def test_failures_of_long_ago_are_forgotten() -> None:
    """The window moves on."""
    world = World()
    for _ in range(19):
        world.call(failing)
    world.now += 31
    for _ in range(19):
        world.call(failing)
    assert world.state == "closed"


def test_slow_calls_open_it_too() -> None:
    """A server that answers everything, but after seconds."""
    world = World(slow_call_s=1.0)
    for _ in range(20):
        world.call(takes_s=1.2)
    assert world.state == "opened"


def test_an_open_circuit_rejects_until_its_time_is_over() -> None:
    """And says when it is worth another call; each time longer, up to the longest."""
    world = World()
    world.open()
    for open_s in (5.0, 6.0, 6.0):
        with pytest.raises(CircuitOpen, match="is open") as rejected:
            world.call()
        assert rejected.value.retry_after_s == pytest.approx(open_s)
        world.now += open_s
        world.call(failing)
    world.now += 6.0
    world.call()
    assert world.state == "closed"
    assert world.told == ["opened", *["half-opened", "opened"] * 3, "half-opened", "closed"]


def test_of_a_thousand_one_probes() -> None:
    """The others are rejected while it is under way."""
    world = World()
    world.open()
    world.now += 5
    admitted, rejected = 0, 0
    with contextlib.ExitStack() as probes:
        for _ in range(1_000):
            try:
                probes.enter_context(world.breakers.guard(NAME))
                admitted += 1
            except CircuitOpen:
                rejected += 1
    assert (admitted, rejected, world.state) == (1, 999, "closed")


def test_a_rejection_beside_a_probe_says_when_the_probe_is_over_at_the_latest() -> None:
    """Then it has closed the circuit, or counts as slow and opens it anew."""
    world = World()
    world.open()
    world.now += 5
    with world.breakers.guard(NAME):
        world.now += 1
        with pytest.raises(CircuitOpen) as rejected:
            world.call()
        assert rejected.value.retry_after_s == world.breakers.circuit(NAME).remaining_s() == pytest.approx(3.0)
    assert world.breakers.circuit(NAME).remaining_s() == 0


def test_of_64_threads_one_probes() -> None:
    """Real ones, all at once."""
    world = World()
    world.open()
    world.now += 5
    together, finished = threading.Barrier(64), threading.Barrier(64)

    def probe(_: int) -> bool:
        together.wait()
        guard = world.breakers.guard(NAME)
        try:
            guard.__enter__()
        except CircuitOpen:
            finished.wait()
            return False
        finished.wait()
        guard.__exit__(None, None, None)
        return True

    with ThreadPoolExecutor(64) as pool:
        assert sum(pool.map(probe, range(64))) == 1


@pytest.mark.parametrize("end", [KeyboardInterrupt, GeneratorExit, Inconclusive, ValueError])
def test_an_end_that_says_nothing_gives_the_permit_back(end: type[BaseException]) -> None:
    """A cancelled probe neither closes nor opens: it is still half open, and the next one may probe."""
    world = World()
    world.open()
    world.now += 5
    with pytest.raises(end), world.breakers.guard(NAME):
        raise end
    assert world.state == "half-opened"
    world.call()
    assert world.state == "closed"


def test_what_began_before_the_last_change_is_no_news() -> None:
    """A late success does not close an open circuit, a late failure does not open a closed one."""
    world = World()
    with contextlib.ExitStack() as late:
        for _ in range(5):
            late.enter_context(world.breakers.guard(NAME))
        world.open()
    assert world.state == "opened"
    world.now += 5
    world.call()
    assert world.state == "closed"


def test_one_circuit_does_not_open_another() -> None:
    """A broken store of blobs does not stop resolves, and long transfers are not slow calls."""
    world = World(slow_call_s=1.0)
    world.open()
    with world.breakers.guard("http://registry read"):
        pass
    for _ in range(30):
        with world.breakers.guard("http://registry blob"):
            world.now += 100
    assert world.breakers.circuit("http://registry blob").state == "closed"


def test_a_listener_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged."""

    def broken(name: str, state: str) -> None:
        raise KeyError(name)

    breakers = Breakers(BreakerRules(), listener=broken)
    for _ in range(20):
        with contextlib.suppress(AttemptFailed), breakers.guard(NAME):
            failing()
    assert breakers.circuit(NAME).state == "opened"
    assert "listener failed" in caplog.text


def test_rejections_cost_no_memory() -> None:
    """Each is an error of its own, whose text stays short."""
    world = World()
    world.open()
    tracemalloc.start()
    try:
        for number in range(20_000):
            if number == 1_000:
                before = tracemalloc.get_traced_memory()[0]
            with pytest.raises(CircuitOpen) if number == 0 else contextlib.suppress(CircuitOpen):
                world.call()
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
