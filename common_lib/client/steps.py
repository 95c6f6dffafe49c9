"""The steps that a call yields. Its driver, blocking or asynchronous, executes each step and sends back the reply."""

from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from common_lib.client.single_flight import CheckedAnswer, Flight, FlightResult
from common_lib.operations.base import Answer, Operation

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Send:
    """The step that sends the operation once, within `timeout_s` seconds. Its reply is an `Answer` or a `Failure`.

    `headers` are sent in addition to the headers of the operation. `url` is set only if there are several endpoints.
    """

    timeout_s: float
    headers: tuple[Header, ...] = ()
    url: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """The step that waits for `seconds` before the next attempt."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Refresh:
    """The step that runs `ResolveCache.refresh_steps` in the background."""

    operation: Operation[Any]
    flight: Flight


@dataclass(frozen=True, slots=True)
class Wait:
    """The step that waits at most `seconds` for the flight of another call. Its reply is the result, or None."""

    result: "Future[FlightResult]"
    seconds: float


@dataclass(frozen=True, slots=True)
class Save:
    """The step that writes the cache file in the background."""


AttemptSteps = Generator[Send | Pause, Any, Answer]
# A function that starts the attempts of a call. Its argument is the time when the call began; without it, now.
Fetch = Callable[..., AttemptSteps]
CallSteps = Generator[Send | Pause | Refresh | Wait | Save, Any, Answer]
CheckedSteps = Generator[Send | Pause | Refresh | Wait | Save, Any, CheckedAnswer]
