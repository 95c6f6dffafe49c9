"""Errors of calls that did not get a usable response."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from common_lib.errors.base import RegistryError


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a call; `began_s` is its start in seconds after the start of the call."""

    began_s: float
    took_s: float
    outcome: str
    url: str = ""


class RegistryUnavailable(RegistryError):
    """The call has no response; `tried` lists the attempts, `retry_after_s` is the time to wait before a new call."""

    retryable = True
    _without_attempts: ClassVar[str] = "; not tried"

    def __init__(self, detail: str, *, tried: Sequence[Attempt] = (), retry_after_s: float | None = None) -> None:
        self.detail = detail
        self.tried = tuple(tried)
        self.retry_after_s = retry_after_s
        times = {0: self._without_attempts, 1: "; tried once"}.get(len(self.tried), f"; tried {len(self.tried)} times")
        later = "" if retry_after_s is None else f"; try again in {retry_after_s:.1f} s"
        super().__init__(f"{detail}{times}{later}")


class ConnectionFailed(RegistryUnavailable):
    """No server accepts connections at the address of the registry."""


class AnswerTimedOut(RegistryUnavailable):
    """The response did not arrive in time."""


class DeadlineExceeded(RegistryUnavailable):
    """The deadline of the call has passed."""


class CircuitOpen(RegistryUnavailable):
    """Too many calls failed, so for a while no call is sent; `circuit` is the address and the class of routes."""

    def __init__(self, circuit: str, retry_after_s: float, *, tried: Sequence[Attempt] = ()) -> None:
        self.circuit = circuit
        super().__init__(f"the circuit {circuit} is open", tried=tried, retry_after_s=retry_after_s)


class TooManyCalls(RegistryUnavailable):
    """The client is already running the maximum number of concurrent calls."""


class RateLimited(RegistryUnavailable, status=429):
    """The registry refuses all requests of this caller or address until `retry_after_s` seconds have passed."""

    _without_attempts = ""  # the server responded


class ServerFailed(RegistryUnavailable):
    """The server failed to execute the request (status 5xx)."""

    _without_attempts = ""  # the server responded


class ProtocolError(RegistryError):
    """The response does not come from a registry; perhaps the address belongs to another server.

    `field` and `value` are the wrong part of the response; they are None if the response could not be parsed.
    """

    def __init__(self, detail: str, *, field: str | None = None, value: Any = None) -> None:
        self.field = field
        self.value = value
        super().__init__(detail)
