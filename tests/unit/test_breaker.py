"""The circuit breaker, on a simulated clock."""

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


class Caller:
    """Breakers on a simulated clock, and the changes of state that they reported."""

    def __init__(self, **rules: float) -> None:
        self.now = 1_000.0
        self.changes: list[str] = []
        self.breakers = Breakers(
            BreakerRules(**rules),  # type: ignore[arg-type]
            clock=lambda: self.now,
            uniform=lambda _, high: high,
            listener=lambda _, state: self.changes.append(state),
        )

    @property
    def state(self) -> str:
        """The state of the circuit."""
        return self.breakers.circuit(NAME).state

    def call(self, outcome: Callable[[], object] | None = None, *, takes_s: float = 0.0) -> None:
        """Make one call through the breaker."""
        with contextlib.suppress(AttemptFailed), self.breakers.guard(NAME):
            self.now += takes_s
            if outcome is not None:
                outcome()

    def open(self) -> None:
        """Make failing calls until the circuit opens."""
        while self.state != "opened":
            self.call(failing)


def failing() -> None:
    """Fail as an attempt does."""
    raise AttemptFailed


def test_the_circuit_opens_when_half_of_twenty_calls_fail() -> None:
    """Neither with fewer than twenty calls, nor below the rate."""
    caller = Caller()
    for _ in range(9):
        caller.call()
        caller.call(failing)
    caller.call(failing)
    assert caller.state == "closed"
    caller.call(failing)
    assert (caller.state, caller.changes) == ("opened", ["opened"])


def test_failures_need_not_be_consecutive() -> None:
    """Four failures and one success, repeated, open the circuit."""
    caller = Caller()
    for call in range(20):
        caller.call(None if call % 5 == 4 else failing)
    assert caller.state == "opened"


def test_one_failure_in_five_does_not_open_the_circuit() -> None:
    """Ten thousand calls leave it closed."""
    caller = Caller()
    for call in range(10_000):
        caller.call(failing if call % 5 == 0 else None, takes_s=0.01)
    assert caller.changes == []


def test_failures_outside_the_window_do_not_count() -> None:
    """The window is thirty seconds long."""
    caller = Caller()
    for _ in range(19):
        caller.call(failing)
    caller.now += 31
    for _ in range(19):
        caller.call(failing)
    assert caller.state == "closed"


def test_slow_calls_open_the_circuit() -> None:
    """The server answers every call, but slowly."""
    caller = Caller(slow_call_s=1.0)
    for _ in range(20):
        caller.call(takes_s=1.2)
    assert caller.state == "opened"


def test_an_open_circuit_rejects_until_its_time_is_over() -> None:
    """The error has the time that is left, which grows up to a limit."""
    caller = Caller()
    caller.open()
    for open_s in (5.0, 6.0, 6.0):
        with pytest.raises(CircuitOpen, match="is open") as rejected:
            caller.call()
        assert rejected.value.retry_after_s == pytest.approx(open_s)
        caller.now += open_s
        caller.call(failing)
    caller.now += 6.0
    caller.call()
    assert caller.state == "closed"
    assert caller.changes == ["opened", *["half-opened", "opened"] * 3, "half-opened", "closed"]


def test_a_half_open_circuit_admits_one_of_a_thousand_calls() -> None:
    """The others are rejected while the probe is under way."""
    caller = Caller()
    caller.open()
    caller.now += 5
    admitted, rejected = 0, 0
    with contextlib.ExitStack() as probes:
        for _ in range(1_000):
            try:
                probes.enter_context(caller.breakers.guard(NAME))
                admitted += 1
            except CircuitOpen:
                rejected += 1
    assert (admitted, rejected, caller.state) == (1, 999, "closed")


def test_a_rejection_during_a_probe_has_the_longest_time_of_the_probe() -> None:
    """By then the probe has closed the circuit, or counts as slow and opens it again."""
    caller = Caller()
    caller.open()
    caller.now += 5
    with caller.breakers.guard(NAME):
        caller.now += 1
        with pytest.raises(CircuitOpen) as rejected:
            caller.call()
        assert rejected.value.retry_after_s == caller.breakers.circuit(NAME).remaining_s() == pytest.approx(3.0)
    assert caller.breakers.circuit(NAME).remaining_s() == 0


def test_a_half_open_circuit_admits_one_of_64_threads() -> None:
    """Real threads call at the same moment."""
    caller = Caller()
    caller.open()
    caller.now += 5
    together, finished = threading.Barrier(64), threading.Barrier(64)

    def probe(_: int) -> bool:
        together.wait()
        guard = caller.breakers.guard(NAME)
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
def test_an_inconclusive_probe_returns_its_permit(end: type[BaseException]) -> None:
    """The circuit stays half open, and the next call may probe."""
    caller = Caller()
    caller.open()
    caller.now += 5
    with pytest.raises(end), caller.breakers.guard(NAME):
        raise end
    assert caller.state == "half-opened"
    caller.call()
    assert caller.state == "closed"


def test_results_from_before_a_change_of_state_do_not_count() -> None:
    """A late success does not close an open circuit, and a late failure does not open a closed one."""
    caller = Caller()
    with contextlib.ExitStack() as late:
        for _ in range(5):
            late.enter_context(caller.breakers.guard(NAME))
        caller.open()
    assert caller.state == "opened"
    caller.now += 5
    caller.call()
    assert caller.state == "closed"


def test_circuits_are_independent() -> None:
    """A broken blob store does not stop resolves, and long transfers are not slow calls."""
    caller = Caller(slow_call_s=1.0)
    caller.open()
    with caller.breakers.guard("http://registry read"):
        pass
    for _ in range(30):
        with caller.breakers.guard("http://registry blob"):
            caller.now += 100
    assert caller.breakers.circuit("http://registry blob").state == "closed"


def test_an_exception_in_a_listener_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The circuit works as before."""

    def broken(name: str, state: str) -> None:
        raise KeyError(name)

    breakers = Breakers(BreakerRules(), listener=broken)
    for _ in range(20):
        with contextlib.suppress(AttemptFailed), breakers.guard(NAME):
            failing()
    assert breakers.circuit(NAME).state == "opened"
    assert "a listener of circuit" in caplog.text


def test_rejections_use_no_memory() -> None:
    """Each has an error of its own, whose text stays short."""
    caller = Caller()
    caller.open()
    tracemalloc.start()
    try:
        for number in range(20_000):
            if number == 1_000:
                before = tracemalloc.get_traced_memory()[0]
            with pytest.raises(CircuitOpen) if number == 0 else contextlib.suppress(CircuitOpen):
                caller.call()
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
