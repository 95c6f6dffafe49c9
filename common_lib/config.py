"""How to reach the registry and how patient to be: from arguments, or from `REGISTRY_*` in the environment."""

import math
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

from common_lib import urls
from common_lib.errors import InvalidConfiguration

DEFAULT_URL = "http://127.0.0.1:8321"
# Thirty years of seconds: a larger number, infinity too, is a slip, and clocks and sockets choke on it.
_LARGEST: Final = 1e9
_SHOWN: Final = 50
_YES: Final = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
_KINDS: Final[Mapping[type[Any], tuple[Any, str]]] = {
    int: (int, "a whole number"),
    float: (int | float, "a finite number"),
    bool: (bool, "True or False"),
}
R = TypeVar("R")
C = TypeVar("C", bound=type[Any])


def _completed(kind: C) -> C:
    """Make the constructor read the fields that are not passed from the environment."""
    init = kind.__init__

    @wraps(init)
    def completed(self: Any, **passed: Any) -> None:
        init(self, **(_from_variables(kind, os.environ, passed) | passed))

    kind.__init__ = completed
    return kind


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When a circuit opens, and for how long; times are seconds, rates are shares of all calls in the window.

    Raises:
        InvalidConfiguration: a number is none, is not positive, or contradicts another.
    """

    window_s: float = 30.0
    minimum_calls: int = 20
    failure_rate: float = 0.5
    slow_call_s: float = 4.0
    slow_rate: float = 0.8
    open_s: float = 5.0
    longest_open_s: float = 6.0
    probes: int = 1

    def __post_init__(self) -> None:
        _check(self)
        for name in ("failure_rate", "slow_rate"):
            if getattr(self, name) > 1:
                raise InvalidConfiguration(f"{name} is {getattr(self, name)!r}: it is a share, so at most 1")
        _ascending(self, "open_s", "longest_open_s")


@dataclass(frozen=True, slots=True)
class ResolveRules:
    """How long an answer to a resolve is good; times are seconds.

    Younger than `fresh_s` it is given as it is; younger than `revalidate_s` too, and asked for in the background;
    older, the registry is asked, and if it does not answer, what is younger than `stale_s` is given.
    `serve_on_auth_failure` gives it also when the token is no longer valid. `snapshot` is the file through which the
    next process knows the same: by default one in the cache folder of this machine, for this address and this token
    alone.
    """

    fresh_s: float = 5.0
    revalidate_s: float = 60.0
    stale_s: float = 86_400.0
    serve_on_auth_failure: bool = False
    snapshot: Path | bool = True

    def __post_init__(self) -> None:
        _check(self, zero_is_fine={"fresh_s", "revalidate_s", "stale_s"})
        _ascending(self, "fresh_s", "revalidate_s")
        if not isinstance(self.snapshot, Path | bool):
            raise InvalidConfiguration(f"snapshot is {self.snapshot!r:.{_SHOWN}}: it must be a Path, True or False")


@_completed
@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """Where the registry is, who calls, and how long to wait.

    What is not passed comes from the environment: `url` from `REGISTRY_URL`, `token` from `REGISTRY_TOKEN`, and so on
    for every field, as `from_environment` says. `REGISTRY_REPLICAS` is read only if `url` is not passed, for they are
    addresses of the same registry. What is passed counts: `token=""` means no token; None is refused, except for
    `resolve`. A `url` that is passed without a token is sent the token of the environment. `ca_file` is a file with
    the certificates of the authorities to trust.

    Times are seconds. `replicas` are further addresses of the same registry, to go on at when one fails. `deadline_s`
    ends a call with all its attempts, except the transfer of bytes, of which `blob_timeout_s` bounds each pause.
    Retries may be `retry_ratio` of all calls, and `retry_most` in a row; so many calls of one class may be under way as
    `most_calls` says. With `resolve=None`, every resolve asks the registry, and in an outage there is no answer. The
    token never shows in a repr.

    Raises:
        InvalidConfiguration: an address is not http or https, or a number is none, is not positive, or contradicts
            another; the message names the parameter and its variable.
    """

    url: str = DEFAULT_URL
    replicas: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    ca_file: str = ""
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
    resolve: ResolveRules | None = field(default_factory=ResolveRules)

    def __post_init__(self) -> None:
        if not isinstance(self.replicas, tuple):
            raise InvalidConfiguration(f"replicas is {self.replicas!r:.200}: it must be a tuple of addresses")
        # By the grammar that the network uses: what passes here fails nowhere behind it.
        object.__setattr__(self, "url", urls.parse("url (REGISTRY_URL)", self.url).url)
        replicas = tuple(urls.parse("replicas (REGISTRY_REPLICAS)", url).url for url in self.replicas)
        object.__setattr__(self, "replicas", replicas)
        if len(set(self.urls)) < len(self.urls):
            raise InvalidConfiguration(f"{self.urls!r:.200}: an address is given twice")
        if isinstance(self.token, str):
            # A file ends with a line break.
            object.__setattr__(self, "token", self.token.strip())
        _check_texts(self)
        _check(self, zero_is_fine={"first_pause_s", "longest_pause_s", "retry_ratio", "retry_most"})
        _ascending(self, "first_pause_s", "longest_pause_s")
        for name, kinds in (("breaker", BreakerRules), ("resolve", ResolveRules | None)):
            if not isinstance(getattr(self, name), kinds):
                raise InvalidConfiguration(f"{name} is {getattr(self, name)!r:.{_SHOWN}}: it must be {kinds}")

    @property
    def urls(self) -> tuple[str, ...]:
        """All addresses, the first one first."""
        return (self.url, *self.replicas)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "RegistryConfig":
        """The configuration in `REGISTRY_URL`, `REGISTRY_TOKEN`, and so on for every field, in capitals.

        White space around an address, a token and a list is removed, as a file or a shell leaves it there.
        `REGISTRY_REPLICAS` is a list with commas. The rules have names such as `REGISTRY_BREAKER_OPEN_S` and
        `REGISTRY_RESOLVE_STALE_S`; `REGISTRY_RESOLVE=off` is `resolve=None`. What is empty is as if it were not there.

        Raises:
            InvalidConfiguration: a value is not of its kind; the message names the variable.
        """
        variables = os.environ if environment is None else environment
        defaults = {each.name: each.default for each in fields(cls) if each.default is not MISSING}
        return cls(**(defaults | _from_variables(cls, variables, ())))


def _from_variables(kind: type[Any], variables: Mapping[str, str], passed: Collection[str]) -> dict[str, Any]:
    """Read the fields that have a variable and were not passed; the rules always, which have defaults of their own."""
    given = dict(_given(kind, "REGISTRY", variables, passed))
    # Further addresses are those of the registry at REGISTRY_URL, and of no other.
    if not {"url", "replicas"} & set(passed) and (replicas := variables.get("REGISTRY_REPLICAS", "").strip()) != "":
        given["replicas"] = tuple(url.strip() for url in replicas.split(","))
    if "breaker" not in passed:
        given["breaker"] = _rules(BreakerRules, "REGISTRY_BREAKER", variables)
    if "resolve" not in passed:
        given["resolve"] = _rules(ResolveRules, "REGISTRY_RESOLVE", variables)
        if not _read("REGISTRY_RESOLVE", variables.get("REGISTRY_RESOLVE") or "on", bool):
            given["resolve"] = None
    return given


def check_seconds(name: str, value: object) -> None:
    """Refuse what is no number of seconds, finite or infinite.

    Raises:
        InvalidConfiguration: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise InvalidConfiguration(f"{name} is {value!r:.{_SHOWN}}: it must be a number of seconds")


def _rules(kind: type[R], prefix: str, variables: Mapping[str, str]) -> R:
    try:
        return kind(**dict(_given(kind, prefix, variables)))
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{prefix}_*: {error}") from None


def _given(
    kind: type[Any], prefix: str, variables: Mapping[str, str], passed: Collection[str] = ()
) -> Iterator[tuple[str, Any]]:
    """The fields of that kind that have a variable, but for those that are neither a number nor a text."""
    for setting in fields(kind):
        variable = f"{prefix}_{setting.name.upper()}"
        if setting.name in passed:
            continue
        if isinstance(setting.default, str | int | float) and variables.get(variable):
            yield setting.name, _value(variable, variables[variable], setting)


def _value(variable: str, text: str, setting: "Field[Any]") -> Any:
    if setting.name == "snapshot" and text.lower() not in _YES:
        return Path(text)
    return _read(variable, text, type(setting.default))


def _read(variable: str, text: str, kind: type[Any]) -> Any:
    """The text as that kind of thing."""
    if kind is str:
        return text.strip()
    if kind is bool:
        if text.lower() not in _YES:
            raise InvalidConfiguration(f"{variable} is {text!r:.{_SHOWN}}: it must be yes or no")
        return _YES[text.lower()]
    try:
        return kind(text)
    except ValueError:
        number = "a whole number" if kind is int else "a number"
        raise InvalidConfiguration(f"{variable} is {text!r:.{_SHOWN}}: it must be {number}") from None


def _check(rules: Any, *, zero_is_fine: Collection[str] = ()) -> None:
    """Refuse what is no number of its kind, and what is out of bounds."""
    for setting in fields(rules):
        value, kind = getattr(rules, setting.name), type(setting.default)
        if kind not in _KINDS or setting.name == "snapshot":
            continue
        taken, wanted = _KINDS[kind]
        if isinstance(value, bool) != (kind is bool) or not isinstance(value, taken) or not abs(value) <= _LARGEST:
            raise InvalidConfiguration(f"{setting.name} is {value!r:.{_SHOWN}}: it must be {wanted}")
        if value < 0 or (value == 0 and kind is not bool and setting.name not in zero_is_fine):
            wanted = "zero or more" if setting.name in zero_is_fine else "positive"
            raise InvalidConfiguration(f"{setting.name} is {value!r}: it must be {wanted}")


def _ascending(rules: Any, low: str, high: str) -> None:
    if getattr(rules, low) > getattr(rules, high):
        raise InvalidConfiguration(
            f"{low} is {getattr(rules, low)!r} and {high} is {getattr(rules, high)!r}: it must not be the larger one"
        )


def _check_texts(config: RegistryConfig) -> None:
    if not isinstance(config.token, str):
        raise InvalidConfiguration(
            'token is not a text: pass "" for none, or leave it out: then REGISTRY_TOKEN is read; it is not shown here'
        )
    if config.token and not (config.token.isascii() and config.token.isprintable() and " " not in config.token):
        # Sent as it is, it would come back in clear within the error of a library.
        raise InvalidConfiguration("the token has characters that no token has; it is not shown here")
    path: object = config.ca_file
    if not isinstance(path, str) or "\0" in path:
        raise InvalidConfiguration(f"ca_file is {path!r:.{_SHOWN}}: it must be the path of a file, as text")
