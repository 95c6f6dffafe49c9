"""A client with a resolve cache on a simulated clock, whose registry is a function of the test."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from common_lib import RegistryConfig
from common_lib.client.cache_file import CacheFile
from common_lib.client.failures import Failure
from common_lib.client.resilience import Resilience
from common_lib.client.resolve_cache import ResolveCache
from common_lib.client.steps import Pause, Refresh, Save, Send, Wait
from common_lib.client.telemetry import Logging
from common_lib.config import ResolveRules
from common_lib.errors import ConnectionFailed, RegistryUnavailable
from common_lib.operations import versions
from common_lib.operations.base import Answer, Operation
from tests.support.answers import problem_answer

RESOLVE = versions.resolve("models:/eurusd/production")
CUT = Failure(ConnectionFailed, "http://x: ReadError")
GONE = problem_answer(404, "version_not_found")
PROXY = Answer(404, {"content-type": "text/html"}, b"<h1>no such host</h1>")


class CachedClient:
    """One client with a cache; `answer` returns the outcome of each attempt, which takes `attempt_s` seconds."""

    def __init__(self, answer: Callable[[], Any], *, file: Path | None = None, **rules: Any) -> None:
        self.now, self.wall_time = 1_000.0, 1_800_000_000.0
        self.answer = answer
        self.attempt_s = 0.0
        self.requests = self.saves = 0
        self.refreshes: list[Operation[Any]] = []
        self._rules = ResolveRules(**rules)
        self._file = file
        config = RegistryConfig(attempts=1, deadline_s=1e9)
        self.resilience = Resilience(config, clock=lambda: self.now, uniform=lambda _, high: high)
        self.restart()

    def restart(self, principal: str = "one") -> None:
        """Start a new process, which has only the cache file."""
        file = None
        if self._file is not None:
            file = CacheFile(self._file, "http://x", principal, wall_clock=lambda: self.wall_time)
        self.cache = ResolveCache(self._rules, Logging(), file=file, clock=lambda: self.now)

    def call(self, operation: Operation[Any] = RESOLVE) -> Answer:
        """Make one call."""
        return self._drive(self.steps(operation))

    def steps(self, operation: Operation[Any] = RESOLVE) -> Any:
        """Return the steps of one call."""
        return self.cache.steps(
            operation,
            lambda *began: self.resilience.steps(operation, *began),
            lambda: self.resilience.is_rejecting(operation.route_class),
        )

    def refresh_steps(self, operation: Operation[Any] = RESOLVE) -> Any:
        """Return the steps of a refresh in the background."""
        return self.cache.refresh_steps(operation, lambda *began: self.resilience.steps(operation, *began))

    def run_refreshes(self) -> None:
        """Run the refreshes that wait in the background."""
        while self.refreshes:
            with contextlib.suppress(RegistryUnavailable):
                self._drive(self.refresh_steps(self.refreshes.pop()))

    def resolve(self, operation: Operation[Any] = RESOLVE) -> tuple[int, bool, str]:
        """Make one call, and return the version, whether it is stale, and its source."""
        answer = self.call(operation)
        return operation.result(answer).version, answer.provenance.stale, answer.provenance.source

    def wait(self, seconds: float) -> None:
        """Advance the clock."""
        self.now += seconds
        self.wall_time += seconds

    def _drive(self, steps: Any) -> Answer:
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
                    self.requests += 1
                    self.wait(self.attempt_s)
                    reply = self.answer()
                case Pause(seconds):
                    self.wait(seconds)
                case Refresh(stale):
                    self.refreshes.append(stale)
                case Wait(result, seconds):
                    self.run_refreshes()
                    reply = result.result(0) if result.done() else self.wait(seconds)
                case Save():
                    self.saves += 1
                    self.cache.save()


def with_staleness(staleness: Any) -> Operation[Any]:
    """Return the resolve of a caller that accepts answers of this staleness."""
    return replace(RESOLVE, staleness=staleness)
