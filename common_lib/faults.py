"""Simulate outages, slow answers, errors and recovery, for tests of services that depend on the registry.

    def test_trading_continues_during_an_outage(model_registry):
        faults = Faults()
        strategy = Strategy(faults.inject_into(model_registry))
        strategy.resolve("models:/eurusd/production")
        faults.outage()
        assert strategy.versions.resolution("models:/eurusd/production").stale
        faults.recover()

In a registry over HTTP, such as the fixture `model_registry`, the faults affect each attempt, so cache, retries and
circuits work as in production. In any other registry, the faults affect each call.
"""

import asyncio
import math
import random
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar, overload

from common_lib.client.failures import Failure
from common_lib.config import check_seconds
from common_lib.errors import AnswerTimedOut, ConnectionFailed, InvalidConfiguration
from common_lib.operations.base import Answer, Operation, refusal
from common_lib.registry import AsyncModelRegistry, ModelRegistry
from common_lib.repetition import make_repeatable

T = TypeVar("T")
Kind = Literal["none", "outage", "slow", "errors", "denied", "lost"]
_DENIAL = (
    b'{"type":"urn:model-registry:problem:unauthenticated","title":"No valid token","status":401,'
    b'"code":"unauthenticated","detail":"simulated: the token has expired","remedy":"","request_id":"simulated"}'
)
_SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class _Fault:
    kind: Kind = "none"
    seconds: float = 0.0
    share: float = 1.0
    status: int = 503


class Faults:
    """The simulated fault between a service and its registry. Each method selects a fault, and `recover` ends it.

    `seed` determines which attempts fail if only a share of the attempts fails. `attempts` is the number of attempts
    (or calls, if the registry is not over HTTP) until now.
    """

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a test wants the same again
        self._fault = _Fault()
        self.attempts = 0

    def recover(self) -> None:
        """End the fault: let attempts reach the registry again."""
        self._fault = _Fault()

    def outage(self) -> None:
        """Let every attempt fail to connect."""
        self._fault = _Fault("outage")

    def slow(self, seconds: float) -> None:
        """Delay each answer by the given number of seconds. An attempt with a shorter timeout gets no answer."""
        check_seconds("seconds", seconds)
        if seconds < 0:
            raise InvalidConfiguration(f"seconds is {seconds!r}: it must be zero or more")
        self._fault = _Fault("slow", seconds=seconds)

    def errors(self, share: float = 1.0, status: int = 503) -> None:
        """Let a share of the attempts fail with a status of the server; 1.0 lets all attempts fail.

        Raises:
            InvalidConfiguration: the share is not between 0 and 1, or the status is not between 500 and 599.
        """
        if not 0 <= share <= 1:
            raise InvalidConfiguration(f"share is {share!r}: it must be between 0 and 1")
        if not 500 <= status <= 599:  # noqa: PLR2004 - failures of the server
            raise InvalidConfiguration(f"status is {status!r}: it must be between 500 and 599")
        self._fault = _Fault("errors", share=share, status=status)

    def denied(self) -> None:
        """Let the registry refuse the token of every attempt, as if it had expired (status 401)."""
        self._fault = _Fault("denied")

    def lost_answers(self) -> None:
        """Let the registry execute each request, but break the connection before the answer arrives."""
        self._fault = _Fault("lost")

    @overload
    def inject_into(self, registry: ModelRegistry) -> ModelRegistry: ...

    @overload
    def inject_into(self, registry: AsyncModelRegistry) -> AsyncModelRegistry: ...

    def inject_into(self, registry: ModelRegistry | AsyncModelRegistry) -> ModelRegistry | AsyncModelRegistry:
        """Return the registry with these faults. A registry over HTTP is changed itself; any other registry is wrapped.

        Raises:
            InvalidConfiguration: `registry` is not a registry.
        """
        wrap_transport = getattr(registry, "wrap_transport", None)
        if wrap_transport is not None:
            wrapper = _FaultyTransport if isinstance(registry, ModelRegistry) else _AsyncFaultyTransport
            wrap_transport(partial(wrapper, self))
            return registry
        if isinstance(registry, ModelRegistry):
            return _FaultyRegistry(self, registry)
        if isinstance(registry, AsyncModelRegistry):
            return _AsyncFaultyRegistry(self, registry)
        raise InvalidConfiguration(
            f"registry is of type {type(registry).__name__}: pass a ModelRegistry or AsyncModelRegistry"
        )

    def next(self) -> _Fault:
        """Count an attempt, and return the fault that affects this attempt."""
        self.attempts += 1
        fault = self._fault
        if fault.kind == "errors" and self._chance.random() >= fault.share:
            return _Fault()
        return fault


class _FaultyRegistry(ModelRegistry):
    """A wrapper of a registry that applies the faults to each call."""

    def __init__(self, faults: Faults, registry: ModelRegistry) -> None:
        self._faults = faults
        self._registry = registry
        self.origin = registry.origin

    def call(self, operation: Operation[T]) -> T:
        fault = self._faults.next()
        _raise_before(fault)
        if fault.kind == "slow":
            time.sleep(fault.seconds)
        found = self._registry.call(operation)
        _raise_after(fault, operation)
        return found


class _AsyncFaultyRegistry(AsyncModelRegistry):
    """A wrapper of an asynchronous registry that applies the faults to each call."""

    def __init__(self, faults: Faults, registry: AsyncModelRegistry) -> None:
        self._faults = faults
        self._registry = registry
        self.origin = registry.origin

    async def call(self, operation: Operation[T]) -> T:
        fault = self._faults.next()
        _raise_before(fault)
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        found = await self._registry.call(operation)
        _raise_after(fault, operation)
        return found


def _raise_before(fault: _Fault) -> None:
    outcome = _replacement(fault, math.inf)
    if isinstance(outcome, Failure):
        raise outcome.kind(outcome.detail)
    if outcome is not None:
        raise refusal(outcome)


def _raise_after(fault: _Fault, operation: Operation[Any]) -> None:
    if fault.kind == "lost":
        error = ConnectionFailed(f"{_SIMULATED}: the answer was lost")
        make_repeatable(error, operation, has_answer=True)
        raise error


class _FaultyTransport:
    """A wrapper of a blocking transport that applies the faults to each attempt."""

    def __init__(self, faults: Faults, inner: Any) -> None:
        self._faults = faults
        self._inner = inner

    def send(self, operation: Operation[Any], timeout_s: float, *args: Any) -> Answer | Failure:
        fault = self._faults.next()
        if fault.kind == "slow":
            time.sleep(min(fault.seconds, timeout_s))
        if (replacement := _replacement(fault, timeout_s)) is not None:
            return replacement
        return _after_answer(fault, self._inner.send(operation, timeout_s - fault.seconds, *args))

    def close(self) -> None:
        self._inner.close()


class _AsyncFaultyTransport:
    """A wrapper of an asynchronous transport that applies the faults to each attempt."""

    def __init__(self, faults: Faults, inner: Any) -> None:
        self._faults = faults
        self._inner = inner

    async def send(self, operation: Operation[Any], timeout_s: float, *args: Any) -> Answer | Failure:
        fault = self._faults.next()
        if fault.kind == "slow":
            await asyncio.sleep(min(fault.seconds, timeout_s))
        if (replacement := _replacement(fault, timeout_s)) is not None:
            return replacement
        return _after_answer(fault, await self._inner.send(operation, timeout_s - fault.seconds, *args))

    async def close(self) -> None:
        await self._inner.close()


def _replacement(fault: _Fault, timeout_s: float) -> Answer | Failure | None:
    """Return the outcome of an attempt if the fault stops it before the registry; None if the attempt is to be sent."""
    match fault.kind:
        case "outage":
            return Failure(ConnectionFailed, f"{_SIMULATED}: nothing answers")
        case "errors":
            return Answer(fault.status, {"content-type": "text/plain"}, _SIMULATED.encode())
        case "denied":
            return Answer(401, {"content-type": "application/problem+json"}, _DENIAL)
        case "slow" if fault.seconds >= timeout_s:
            return Failure(AnswerTimedOut, f"{_SIMULATED}: the answer takes longer than {timeout_s:.3f} s")
    return None


def _after_answer(fault: _Fault, outcome: Answer | Failure) -> Answer | Failure:
    return Failure(ConnectionFailed, f"{_SIMULATED}: the answer was lost") if fault.kind == "lost" else outcome
