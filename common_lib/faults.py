"""Outage, slowness, errors and recovery, for the tests of services that depend on the registry.

    def test_trading_goes_on_in_an_outage(model_registry):
        faults = Faults()
        strategy = Strategy(faults.between(model_registry))
        strategy.resolve("models:/eurusd/production")
        faults.outage()
        assert strategy.versions.resolution("models:/eurusd/production").stale
        faults.recover()

On a registry over HTTP, also one of the fixtures, they happen to each attempt, below cache, retries and circuits, which
so do what they do in production. On any other registry they happen to each call.
"""

import asyncio
import random
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar, overload

from common_lib.client.failures import Failure
from common_lib.config import check_seconds
from common_lib.errors import (
    AnswerTimedOut,
    ConnectionFailed,
    InvalidConfiguration,
    ServerFailed,
    Unauthenticated,
)
from common_lib.operations.base import Answer, Operation
from common_lib.registry import AsyncModelRegistry, ModelRegistry
from common_lib.repetition import note

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
    """What goes wrong between a service and its registry, from now until something else is said.

    `seed` decides which attempts fail where it is a share of them. `attempts` counts those that came this far.
    """

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a test wants the same again
        self._fault = _Fault()
        self.attempts = 0

    def recover(self) -> None:
        """All is well again."""
        self._fault = _Fault()

    def outage(self) -> None:
        """Nobody answers at that address."""
        self._fault = _Fault("outage")

    def slow(self, seconds: float) -> None:
        """Each answer takes so much longer; if that is more than an attempt may take, there is none."""
        check_seconds("seconds", seconds)
        if seconds < 0:
            raise InvalidConfiguration(f"seconds is {seconds!r}: nothing takes less than no time")
        self._fault = _Fault("slow", seconds=seconds)

    def errors(self, share: float = 1.0, status: int = 503) -> None:
        """That share of the attempts is answered by a failure of the server.

        Raises:
            InvalidConfiguration: the share is not between 0 and 1, or the status is none of a failure.
        """
        if not 0 <= share <= 1:
            raise InvalidConfiguration(f"share is {share!r}: it must be between 0 and 1")
        if not 500 <= status <= 599:  # noqa: PLR2004 - what a server says of itself
            raise InvalidConfiguration(f"status is {status!r}: it must be between 500 and 599")
        self._fault = _Fault("errors", share=share, status=status)

    def denied(self) -> None:
        """The token has expired (401)."""
        self._fault = _Fault("denied")

    def lost_answers(self) -> None:
        """The registry does what it is asked, and the connection is cut before its answer."""
        self._fault = _Fault("lost")

    @overload
    def between(self, registry: ModelRegistry) -> ModelRegistry: ...

    @overload
    def between(self, registry: AsyncModelRegistry) -> AsyncModelRegistry: ...

    def between(self, registry: ModelRegistry | AsyncModelRegistry) -> ModelRegistry | AsyncModelRegistry:
        """The registry with these faults in it: one over HTTP is the same, changed; any other is wrapped.

        Raises:
            InvalidConfiguration: it is no registry.
        """
        intercept = getattr(registry, "intercept", None)
        if intercept is not None:
            intercept(partial(_Transport if isinstance(registry, ModelRegistry) else _AsyncTransport, self))
            return registry
        if isinstance(registry, ModelRegistry):
            return _Between(self, registry)
        if isinstance(registry, AsyncModelRegistry):
            return _AsyncBetween(self, registry)
        raise InvalidConfiguration(f"faults come between a service and its registry, not {type(registry).__name__}")

    def next(self) -> _Fault:
        """What happens to this attempt."""
        self.attempts += 1
        fault = self._fault
        if fault.kind == "errors" and self._chance.random() >= fault.share:
            return _Fault()
        return fault


class _Between(ModelRegistry):
    """Another answer to `call`."""

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


class _AsyncBetween(AsyncModelRegistry):
    """Another answer to `call`, awaited."""

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
    match fault.kind:
        case "outage":
            raise ConnectionFailed(_SIMULATED)
        case "errors":
            raise ServerFailed(f"{_SIMULATED}: status {fault.status}")
        case "denied":
            raise Unauthenticated(f"{_SIMULATED}: the token has expired", code="unauthenticated", status=401)


def _raise_after(fault: _Fault, operation: Operation[Any]) -> None:
    if fault.kind == "lost":
        error = ConnectionFailed(f"{_SIMULATED}: the answer was lost")
        note(error, operation, answered=True)
        raise error


class _Transport:
    """Stands in the place of what sends the attempts of a blocking client."""

    def __init__(self, faults: Faults, inner: Any) -> None:
        self._faults = faults
        self._inner = inner

    def send(self, operation: Operation[Any], timeout_s: float, *more: Any) -> Answer | Failure:
        fault = self._faults.next()
        if fault.kind == "slow":
            time.sleep(min(fault.seconds, timeout_s))
        if (instead := _instead(fault, timeout_s)) is not None:
            return instead
        return _arrived(fault, self._inner.send(operation, timeout_s - fault.seconds, *more))

    def close(self) -> None:
        self._inner.close()


class _AsyncTransport:
    """Stands in the place of what sends the attempts of an asynchronous client."""

    def __init__(self, faults: Faults, inner: Any) -> None:
        self._faults = faults
        self._inner = inner

    async def send(self, operation: Operation[Any], timeout_s: float, *more: Any) -> Answer | Failure:
        fault = self._faults.next()
        if fault.kind == "slow":
            await asyncio.sleep(min(fault.seconds, timeout_s))
        if (instead := _instead(fault, timeout_s)) is not None:
            return instead
        return _arrived(fault, await self._inner.send(operation, timeout_s - fault.seconds, *more))

    async def close(self) -> None:
        await self._inner.close()


def _instead(fault: _Fault, timeout_s: float) -> Answer | Failure | None:
    """What comes of an attempt that never reaches the registry."""
    match fault.kind:
        case "outage":
            return Failure(ConnectionFailed, f"{_SIMULATED}: nobody answers")
        case "errors":
            return Answer(fault.status, {"content-type": "text/plain"}, _SIMULATED.encode())
        case "denied":
            return Answer(401, {"content-type": "application/problem+json"}, _DENIAL)
        case "slow" if fault.seconds >= timeout_s:
            return Failure(AnswerTimedOut, f"{_SIMULATED}: the answer takes longer than {timeout_s:.3f} s")
    return None


def _arrived(fault: _Fault, outcome: Answer | Failure) -> Answer | Failure:
    return Failure(ConnectionFailed, f"{_SIMULATED}: the answer was lost") if fault.kind == "lost" else outcome
