"""The configuration of a client, from arguments or from the environment variables `REGISTRY_*`."""

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
# Thirty years in seconds. A larger number is a mistake, and clocks and sockets would fail.
_MAX_NUMBER: Final = 1e9
_MAX_TEXT: Final = 50
_FLAGS: Final = dict.fromkeys(("yes", "true", "on", "1"), True) | dict.fromkeys(("no", "false", "off", "0"), False)
_KINDS: Final[Mapping[type[Any], tuple[Any, str]]] = {
    int: (int, "a whole number"),
    float: (int | float, "a finite number"),
    bool: (bool, "True or False"),
}
R = TypeVar("R")
C = TypeVar("C", bound=type[Any])


def _with_environment(kind: C) -> C:
    """Change the constructor of a class, so that it reads fields that are not passed from the environment."""
    init = kind.__init__

    @wraps(init)
    def init_with_environment(self: Any, **passed: Any) -> None:
        init(self, **(_from_variables(kind, os.environ, passed) | passed))

    kind.__init__ = init_with_environment
    return kind


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """The conditions that open a circuit, and how long it stays open. Times are in seconds; rates are shares of calls.

    Raises:
        InvalidConfiguration: a value is not a number, is not positive, or contradicts another.
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
        _check_numbers(self)
        for name in ("failure_rate", "slow_rate"):
            if getattr(self, name) > 1:
                raise InvalidConfiguration(f"{name} is {getattr(self, name)!r}: it is a share, so it must be at most 1")
        _check_order(self, "open_s", "longest_open_s")


@dataclass(frozen=True, slots=True)
class ResolveRules:
    """The ages, in seconds, up to which a client serves a stored answer to a resolve.

    An answer younger than `fresh_s` is served. An answer younger than `revalidate_s` is also served, and refreshed in
    the background. For an older answer, the client sends a request to the registry; if the registry does not answer,
    an answer younger than `stale_s` is served. With `serve_on_auth_failure`, this answer is also served when the
    registry refuses the token.

    `persist` stores the answers in a file for later processes. True selects a file in the cache folder of this machine,
    which only clients with the same address and token use. A path selects another file. With False, nothing is stored.

    Raises:
        InvalidConfiguration: a value is not a number, is negative, or contradicts another.
    """

    fresh_s: float = 5.0
    revalidate_s: float = 60.0
    stale_s: float = 86_400.0
    serve_on_auth_failure: bool = False
    persist: Path | bool = True

    def __post_init__(self) -> None:
        _check_numbers(self, may_be_zero={"fresh_s", "revalidate_s", "stale_s"})
        _check_order(self, "fresh_s", "revalidate_s")
        if not isinstance(self.persist, Path | bool):
            raise InvalidConfiguration(f"persist is {self.persist!r:.{_MAX_TEXT}}: it must be a Path, True or False")


@_with_environment
@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """The configuration of a client: the address of the registry, the token of the caller, and the limits of each call.

    A field that is not passed is read from the environment: `url` from `REGISTRY_URL`, `token` from `REGISTRY_TOKEN`,
    and so on for every field, as described at `from_environment`. `REGISTRY_REPLICAS` is read only if `url` is not
    passed, because the replicas belong to the registry at `REGISTRY_URL`. A field that is passed is not read from the
    environment: with `token=""`, no token is sent. None is refused, except for `resolve`. If `url` is passed without
    `token`, the token of the environment is sent to this address. `ca_file` is a file with trusted CA certificates.

    Times are in seconds. `replicas` are more endpoints of the same registry, which are used when one endpoint fails.
    `deadline_s` limits a call with all its attempts. It does not limit the transfer of files, where `blob_timeout_s`
    limits each wait. Retries may be at most the share `retry_ratio` of all calls, and at most `retry_most` in a row.
    At each endpoint, at most `most_calls` calls of one class of routes may be in progress. With `resolve=None`, every
    resolve needs an answer of the registry, and fails during an outage. The repr does not contain the token.

    Raises:
        InvalidConfiguration: an address is not http or https, or a value is not a number, is not positive, or
            contradicts another value. The message contains the name of the parameter.
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
        # Parsed as the network code does it, so that an address that is accepted here does not fail later.
        object.__setattr__(self, "url", urls.parse("url (REGISTRY_URL)", self.url).url)
        replicas = tuple(urls.parse("replicas (REGISTRY_REPLICAS)", url).url for url in self.replicas)
        object.__setattr__(self, "replicas", replicas)
        if len(set(self.urls)) < len(self.urls):
            raise InvalidConfiguration(f"url and replicas are {self.urls!r:.200}: each address may be used only once")
        if isinstance(self.token, str):
            # A token that was read from a file ends with a line break.
            object.__setattr__(self, "token", self.token.strip())
        _check_texts(self)
        _check_numbers(self, may_be_zero={"first_pause_s", "longest_pause_s", "retry_ratio", "retry_most"})
        _check_order(self, "first_pause_s", "longest_pause_s")
        rules = (("breaker", BreakerRules, "BreakerRules"), ("resolve", ResolveRules | None, "ResolveRules or None"))
        for name, kinds, wanted in rules:
            if not isinstance(getattr(self, name), kinds):
                raise InvalidConfiguration(f"{name} is {getattr(self, name)!r:.{_MAX_TEXT}}: it must be {wanted}")

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of all endpoints: `url`, then the replicas."""
        return (self.url, *self.replicas)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "RegistryConfig":
        """Read each field from its variable: `REGISTRY_` and the name of the field in capitals, such as `REGISTRY_URL`.

        White space around a value, such as the line break at the end of a file, is removed. `REGISTRY_REPLICAS` is a
        list of addresses, separated by commas. The fields of the rules have variables such as `REGISTRY_BREAKER_OPEN_S`
        and `REGISTRY_RESOLVE_STALE_S`. `REGISTRY_RESOLVE=off` sets `resolve=None`. An empty variable counts as unset.

        Raises:
            InvalidConfiguration: a value has the wrong type. The message contains the name of the variable.
        """
        variables = os.environ if environment is None else environment
        defaults = {each.name: each.default for each in fields(cls) if each.default is not MISSING}
        return cls(**(defaults | _from_variables(cls, variables, ())))


def _from_variables(kind: type[Any], variables: Mapping[str, str], passed: Collection[str]) -> dict[str, Any]:
    """Return the values of the fields that are set by a variable and were not passed, and all rules not passed."""
    values = dict(_read_fields(kind, "REGISTRY", variables, passed))
    # The replicas belong to the registry at REGISTRY_URL, not to a registry whose url was passed.
    if not {"url", "replicas"} & set(passed) and (replicas := variables.get("REGISTRY_REPLICAS", "").strip()) != "":
        values["replicas"] = tuple(url.strip() for url in replicas.split(","))
    if "breaker" not in passed:
        values["breaker"] = _rules(BreakerRules, "REGISTRY_BREAKER", variables)
    if "resolve" not in passed:
        values["resolve"] = _rules(ResolveRules, "REGISTRY_RESOLVE", variables)
        if not _parse("REGISTRY_RESOLVE", variables.get("REGISTRY_RESOLVE") or "on", bool):
            values["resolve"] = None
    return values


def check_seconds(name: str, value: object) -> None:
    """Check that a value is a number of seconds, finite or infinite.

    Raises:
        InvalidConfiguration: the value is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise InvalidConfiguration(f"{name} is {value!r:.{_MAX_TEXT}}: it must be a number of seconds")


def _rules(kind: type[R], prefix: str, variables: Mapping[str, str]) -> R:
    try:
        return kind(**dict(_read_fields(kind, prefix, variables)))
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{prefix}_*: {error}") from None


def _read_fields(
    kind: type[Any], prefix: str, variables: Mapping[str, str], passed: Collection[str] = ()
) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each field that is set by a variable, if its type is a number or a string."""
    for setting in fields(kind):
        variable = f"{prefix}_{setting.name.upper()}"
        if setting.name in passed:
            continue
        if isinstance(setting.default, str | int | float) and variables.get(variable):
            yield setting.name, _parse_field(variable, variables[variable], setting)


def _parse_field(variable: str, text: str, setting: "Field[Any]") -> Any:
    if setting.name == "persist" and text.lower() not in _FLAGS:
        return Path(text)
    return _parse(variable, text, type(setting.default))


def _parse(variable: str, text: str, kind: type[Any]) -> Any:
    """Convert the text of a variable to `kind`, which is str, bool, int or float."""
    if kind is str:
        return text.strip()
    if kind is bool:
        if text.lower() not in _FLAGS:
            raise InvalidConfiguration(f"{variable} is {text!r:.{_MAX_TEXT}}: it must be yes or no")
        return _FLAGS[text.lower()]
    try:
        return kind(text)
    except ValueError:
        number = "a whole number" if kind is int else "a number"
        raise InvalidConfiguration(f"{variable} is {text!r:.{_MAX_TEXT}}: it must be {number}") from None


def _check_numbers(rules: Any, *, may_be_zero: Collection[str] = ()) -> None:
    """Check that each numeric field has the right type and is within its bounds."""
    for setting in fields(rules):
        value, kind = getattr(rules, setting.name), type(setting.default)
        if kind not in _KINDS or setting.name == "persist":
            continue
        accepted, wanted = _KINDS[kind]
        if (
            isinstance(value, bool) != (kind is bool)
            or not isinstance(value, accepted)
            or not abs(value) <= _MAX_NUMBER
        ):
            raise InvalidConfiguration(f"{setting.name} is {value!r:.{_MAX_TEXT}}: it must be {wanted}")
        if value < 0 or (value == 0 and kind is not bool and setting.name not in may_be_zero):
            wanted = "zero or more" if setting.name in may_be_zero else "positive"
            raise InvalidConfiguration(f"{setting.name} is {value!r}: it must be {wanted}")


def _check_order(rules: Any, low: str, high: str) -> None:
    if getattr(rules, low) > getattr(rules, high):
        raise InvalidConfiguration(
            f"{low} is {getattr(rules, low)!r} and {high} is {getattr(rules, high)!r}: {low} must not exceed {high}"
        )


def _check_texts(config: RegistryConfig) -> None:
    if not isinstance(config.token, str):
        raise InvalidConfiguration(
            'token is not a string (it is not displayed): pass "" for no token, or omit it to use REGISTRY_TOKEN'
        )
    if config.token and not (config.token.isascii() and config.token.isprintable() and " " not in config.token):
        # If such a token were sent, the error of a library would contain the token.
        raise InvalidConfiguration(
            "token has characters that are not allowed (it is not displayed): pass the token as it was issued"
        )
    path: object = config.ca_file
    if not isinstance(path, str) or "\0" in path:
        raise InvalidConfiguration(f"ca_file is {path!r:.{_MAX_TEXT}}: it must be the path of a file, as a string")
