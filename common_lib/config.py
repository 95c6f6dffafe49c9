"""How to reach the registry: from arguments, or from `REGISTRY_URL` and `REGISTRY_TOKEN`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from common_lib.errors import InvalidConfiguration

DEFAULT_URL = "http://127.0.0.1:8321"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When a circuit opens, and for how long; times are seconds, rates are shares of all calls in the window."""

    window_s: float = 30.0
    minimum_calls: int = 20
    failure_rate: float = 0.5
    slow_call_s: float = 4.0
    slow_rate: float = 0.8
    open_s: float = 5.0
    longest_open_s: float = 10.0
    probes: int = 1


@dataclass(frozen=True, slots=True)
class ResolveRules:
    """How long an answer to a resolve is good; times are seconds.

    Younger than `fresh_s` it is given as it is; younger than `revalidate_s` too, and asked for in the background;
    older, the registry is asked, and if it does not answer, what is younger than `stale_s` is given. `through_denial`
    gives it also when the token is no longer valid. `snapshot` is a file through which the next process knows the same.
    """

    fresh_s: float = 5.0
    revalidate_s: float = 60.0
    stale_s: float = 86_400.0
    through_denial: bool = False
    snapshot: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """Where the registry is, who calls, and how long to wait.

    Times are seconds. `deadline_s` ends a call with all its attempts, except the transfer of bytes, of which
    `blob_timeout_s` bounds each pause. Retries may be `retry_ratio` of all calls, and `retry_most` in a row; so many
    calls of one class may be under way as `most_calls` says. Without `resolve`, every resolve asks the registry; with
    it, answers are kept. The token never shows in a repr.

    Raises:
        InvalidConfiguration: the address is not http or https, or a number is not positive.
    """

    url: str = DEFAULT_URL
    token: str = field(default="", repr=False)
    deadline_s: float = 10.0
    attempt_timeout_s: float = 5.0
    blob_timeout_s: float = 60.0
    attempts: int = 3
    first_pause_s: float = 0.1
    longest_pause_s: float = 2.0
    retry_ratio: float = 0.2
    retry_most: float = 10.0
    most_calls: int = 100
    breaker: BreakerRules = field(default_factory=BreakerRules)
    resolve: ResolveRules | None = None

    def __post_init__(self) -> None:
        parts = _split(self.url)
        if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidConfiguration(f"{self.url!r:.200} is no address of a registry: use http(s)://host:port")
        if parts.username or parts.password:
            raise InvalidConfiguration("the address carries a user or password: pass the token as token=")
        if self.token and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            # Sent as it is, it would come back in clear within the error of a library.
            raise InvalidConfiguration("the token has characters that no token has; it is not shown here")
        for name in ("deadline_s", "attempt_timeout_s", "blob_timeout_s", "attempts", "most_calls"):
            if not (isinstance(getattr(self, name), int | float) and getattr(self, name) > 0):
                raise InvalidConfiguration(f"{name} is {getattr(self, name)!r}: it must be positive")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "RegistryConfig":
        """The configuration in `REGISTRY_URL`, `REGISTRY_TOKEN`, and `REGISTRY_DEADLINE_S` and so on for the numbers.

        Raises:
            InvalidConfiguration: a number is none.
        """
        variables = os.environ if environment is None else environment
        given: dict[str, Any] = {"url": variables.get("REGISTRY_URL", DEFAULT_URL)}
        given["token"] = variables.get("REGISTRY_TOKEN", "")
        for setting in fields(cls):
            variable = f"REGISTRY_{setting.name.upper()}"
            if isinstance(setting.default, int | float) and variables.get(variable):
                given[setting.name] = _number(variable, variables[variable], type(setting.default))
        return cls(**given)


def _number(variable: str, text: str, kind: type[int] | type[float]) -> float:
    try:
        return kind(text)
    except ValueError:
        raise InvalidConfiguration(f"{variable} is {text!r:.50}: it must be a number") from None


def _split(url: str) -> SplitResult | None:
    try:
        url.encode()
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 else parts
