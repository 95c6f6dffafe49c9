"""The steps that a call yields to its driver, which alone waits, sends and starts work: blocking or asynchronous."""

from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from common_lib.client.single_flight import CheckedAnswer, Flight, FlightResult
from common_lib.operations.base import Answer, Operation

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Send:
    """Attempt the operation within so many seconds; the reply is an `Answer` or a `Failure`.

    `headers` are sent in addition to those of the operation; `url` is set only if there are several endpoints.
    """

    timeout_s: float
    headers: tuple[Header, ...] = ()
    url: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Refresh:
    """Run `ResolveCache.refresh_steps` in the background."""

    operation: Operation[Any]
    flight: Flight


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait at most so many seconds for the flight of another call; the reply is its result, None after a timeout."""

    result: "Future[FlightResult]"
    seconds: float


@dataclass(frozen=True, slots=True)
class Save:
    """Write the cache file in the background."""


AttemptSteps = Generator[Send | Pause, Any, Answer]
# Starts the attempts of a call; its argument is when the call began, if that is before now.
Fetch = Callable[..., AttemptSteps]
CallSteps = Generator[Send | Pause | Refresh | Wait | Save, Any, Answer]
CheckedSteps = Generator[Send | Pause | Refresh | Wait | Save, Any, CheckedAnswer]
