"""The configuration of a client: from arguments or the environment, and never nonsense."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from common_lib import RegistryConfig
from common_lib.config import BreakerRules, ResolveRules
from common_lib.deadline import deadline
from common_lib.errors import InvalidConfiguration

KINDS: dict[str, Any] = {"": RegistryConfig, "BREAKER_": BreakerRules, "RESOLVE_": ResolveRules}
NUMBERS = [
    (prefix, kind, field)
    for prefix, kind in KINDS.items()
    for field in fields(kind)
    if type(field.default) in {int, float} and field.name != "persist"
]


def test_every_number_has_a_variable() -> None:
    """Of the configuration and of its rules, each under its own name."""
    for prefix, _, field in NUMBERS:
        value = field.default * 0.9 if isinstance(field.default, float) else field.default + 1
        found = RegistryConfig.from_environment({f"REGISTRY_{prefix}{field.name.upper()}": str(value)})
        rules = {"": found, "BREAKER_": found.breaker, "RESOLVE_": found.resolve}[prefix]
        assert getattr(rules, field.name) == value
        changed = replace(rules, **{field.name: field.default})  # type: ignore[type-var]
        assert changed == KINDS[prefix]()


@pytest.mark.parametrize("nonsense", ["nan", "inf", "-inf", "-1", "1e999", "soon", "0x10", "1e10"])
def test_no_number_is_nonsense(nonsense: str) -> None:
    """NaN, infinity, negatives and words are refused, each by the name of what it was given for."""
    for prefix, _, field in NUMBERS:
        with pytest.raises(InvalidConfiguration) as refused:
            RegistryConfig.from_environment({f"REGISTRY_{prefix}{field.name.upper()}": nonsense})
        assert field.name in str(refused.value).lower()
        told = str(refused.value)
        assert repr(nonsense) in told or repr(float(nonsense)) in told or f"is {nonsense}:" in told


@pytest.mark.parametrize("wrong", ["3", None, True, 1 + 1j, [1]])
def test_no_number_is_something_else(wrong: Any) -> None:
    """Neither text, nor a truth, nor a list."""
    for _, kind, field in NUMBERS:
        with pytest.raises(InvalidConfiguration, match=field.name):
            kind(**{field.name: wrong})


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: BreakerRules(failure_rate=1.1), "failure_rate is 1.1"),
        (lambda: BreakerRules(open_s=20), "open_s is 20 and longest_open_s is 6.0"),
        (lambda: BreakerRules(probes=0), "probes is 0: it must be positive"),
        (lambda: BreakerRules(minimum_calls=2.5), "a whole number"),  # type: ignore[arg-type]
        (lambda: ResolveRules(fresh_s=90), "fresh_s is 90 and revalidate_s is 60.0"),
        (lambda: ResolveRules(serve_on_auth_failure=1), "serve_on_auth_failure is 1: it must be True or False"),  # type: ignore[arg-type]
        (lambda: ResolveRules(persist="here"), "persist is 'here'"),  # type: ignore[arg-type]
        (lambda: RegistryConfig(first_pause_s=3), "first_pause_s is 3 and longest_pause_s is 2.0"),
        (lambda: RegistryConfig(replicas="http://b"), "a tuple of addresses"),  # type: ignore[arg-type]
        (lambda: RegistryConfig(replicas=("ftp://b",)), "'ftp://b': its scheme is not one of"),
        (lambda: RegistryConfig(url="http://a", replicas=("http://a",)), "each address may be used only once"),
        (lambda: RegistryConfig(replicas=(7,)), "is 7: it must be a string"),  # type: ignore[arg-type]
        (lambda: RegistryConfig(breaker=None), "breaker is None"),  # type: ignore[arg-type]
        (lambda: RegistryConfig(resolve=True), "resolve is True"),  # type: ignore[arg-type]
    ],
)
def test_what_contradicts_itself_is_refused(make: Any, told: str) -> None:
    """With the values that do."""
    with pytest.raises(InvalidConfiguration) as refused:
        make()
    assert told in str(refused.value)


def test_the_environment_names_addresses_and_the_snapshot() -> None:
    """Replicas as a list with commas, the cache file as a path, or as yes or no."""
    found = RegistryConfig.from_environment(
        {"REGISTRY_URL": "http://a", "REGISTRY_REPLICAS": "http://b, http://c", "REGISTRY_RESOLVE_PERSIST": "/x/y"}
    )
    assert found.urls == ("http://a", "http://b", "http://c")
    assert found.resolve == ResolveRules(persist=Path("/x/y"))
    off = RegistryConfig.from_environment(
        {"REGISTRY_RESOLVE_PERSIST": "no", "REGISTRY_RESOLVE_SERVE_ON_AUTH_FAILURE": "yes"}
    )
    assert off.resolve == ResolveRules(persist=False, serve_on_auth_failure=True)
    assert RegistryConfig.from_environment({"REGISTRY_RESOLVE": "off"}).resolve is None
    assert RegistryConfig.from_environment({"REGISTRY_DEADLINE_S": "", "REGISTRY_REPLICAS": " "}) == RegistryConfig()
    with pytest.raises(InvalidConfiguration, match="REGISTRY_RESOLVE is 'perhaps': it must be yes or no"):
        RegistryConfig.from_environment({"REGISTRY_RESOLVE": "perhaps"})


@pytest.mark.parametrize("wrong", [float("nan"), "3", None, True])
def test_a_deadline_is_a_number(wrong: Any) -> None:
    """Otherwise it would bound nothing."""
    with pytest.raises(InvalidConfiguration, match="the deadline is"), deadline(wrong):
        pytest.fail("it was begun")


def test_the_token_is_not_shown() -> None:
    """Neither in the text of a configuration nor where that stands in something else."""
    config = RegistryConfig(token="mrg_" + "x" * 49)
    for text in (repr(config), str(config), f"{config}", repr([config])):
        assert "mrg_" not in text
