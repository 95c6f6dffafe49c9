"""The configuration of a client, from arguments or the environment, and its checks."""

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
    """Those of the configuration and of its rules."""
    for prefix, _, field in NUMBERS:
        value = field.default * 0.9 if isinstance(field.default, float) else field.default + 1
        found = RegistryConfig.from_environment({f"REGISTRY_{prefix}{field.name.upper()}": str(value)})
        rules = {"": found, "BREAKER_": found.breaker, "RESOLVE_": found.resolve}[prefix]
        assert getattr(rules, field.name) == value
        changed = replace(rules, **{field.name: field.default})  # type: ignore[type-var]
        assert changed == KINDS[prefix]()


@pytest.mark.parametrize("nonsense", ["nan", "inf", "-inf", "-1", "1e999", "soon", "0x10", "1e10"])
def test_invalid_numbers_in_the_environment_are_refused(nonsense: str) -> None:
    """NaN, infinity, negative numbers and words are refused, and the error names the variable."""
    for prefix, _, field in NUMBERS:
        with pytest.raises(InvalidConfiguration) as refused:
            RegistryConfig.from_environment({f"REGISTRY_{prefix}{field.name.upper()}": nonsense})
        assert field.name in str(refused.value).lower()
        text = str(refused.value)
        assert repr(nonsense) in text or repr(float(nonsense)) in text or f"is {nonsense}:" in text


@pytest.mark.parametrize("wrong", ["3", None, True, 1 + 1j, [1]])
def test_arguments_of_another_type_are_refused(wrong: Any) -> None:
    """Text, None, booleans and lists are not numbers."""
    for _, kind, field in NUMBERS:
        with pytest.raises(InvalidConfiguration, match=field.name):
            kind(**{field.name: wrong})


@pytest.mark.parametrize(
    ("make", "expected"),
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
def test_invalid_and_contradictory_values_are_refused(make: Any, expected: str) -> None:
    """The error contains the values."""
    with pytest.raises(InvalidConfiguration) as refused:
        make()
    assert expected in str(refused.value)


def test_the_environment_sets_replicas_and_the_cache_file() -> None:
    """Replicas are a list with commas; the cache file is a path, yes or no."""
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
    """Another value would limit nothing."""
    with pytest.raises(InvalidConfiguration, match="the deadline is"), deadline(wrong):
        pytest.fail("the block was entered")


def test_the_repr_does_not_contain_the_token() -> None:
    """Neither that of a configuration nor that of a list of them."""
    config = RegistryConfig(token="mrg_" + "x" * 49)
    for text in (repr(config), str(config), f"{config}", repr([config])):
        assert "mrg_" not in text
