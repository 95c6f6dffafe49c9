"""Query parameters: each has a value of its type or is refused, never ignored: each parameter × each spelling."""

import datetime as dt
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.contract.test_methods import filled
from tests.security.worlds import MODEL, World, assert_unchanged, open_world, open_world_in_memory, problem

# None of these is a number, a time, or one of a few words.
NONSENSE = {
    "null": "null",
    "Null": "Null",
    "nothing": "",
    "None": "None",
    "undefined": "undefined",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "an exponent": "1e3",
    "a fraction": "1.0",
    "a blank before": "%201",
    "a blank behind": "1%20",
    "a plus": "%2B1",
    "a plus that is a blank": "+1",
    "hexadecimal": "0x1",
    "another alphabet": "%D9%A1",
    "full width": "%EF%BC%91",
    "an underscore": "1_0",
    "a leading zero": "01",
    "minus zero": "-0",
    "30 digits": "9" * 30,
    "5,000 digits": "9" * 5_000,
    "5,000 letters": "x" * 5_000,
    "true in capitals": "TRUE",
    "yes": "yes",
    "a line break": "1%0A",
    "NUL": "%00",
    "half an escape": "%",
    "no escape": "%zz",
    "a list": "[1]",
    "quotes": "%221%22",
    "seconds since 1970": "1767225600",
    "a day": "2026-01-01",
    "a time without its zone": "2026-01-01T00:00:00",
    "the year 0": "0000-01-01T00:00:00Z",
    "the year 10000": "10000-01-01T00:00:00Z",
    "the 30th of February": "2026-02-30T00:00:00Z",
}
BROKEN = {"a byte alone": "%ff", "half a letter": "%C3", "a surrogate": "%ED%A0%80", "overlong": "%C0%80"}
# Seconds since 1970 are a number, if a large one.
NUMBERS = {"seconds since 1970"}
FREE = {"owner", "prefix"}


class Parameter(NamedTuple):
    """A parameter of an operation."""

    method: str
    path: str
    name: str
    schema: dict[str, Any]

    @property
    def target(self) -> str:
        """The address without its query."""
        return filled(self.path)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Provide a registry that no test of this file changes."""
    with open_world_in_memory() as shared:
        yield shared


@pytest.fixture(scope="module", params=["memory", "postgres"])
def either(request: pytest.FixtureRequest) -> Iterator[World]:
    """Provide the same registry on each engine, for values that reach the engine."""
    with open_world(request) as this:
        yield this


@functools.cache
def parameters(world: World) -> list[Parameter]:
    """Return every query parameter of every route."""
    with world.http() as http:
        paths = http.get("/openapi.json").json()["paths"]
    found = [
        Parameter(method.upper(), path, one["name"], one["schema"])
        for path, operations in paths.items()
        for method, operation in operations.items()
        for one in operation["parameters"]
        if one["in"] == "query"
    ]
    assert len(found) > 25
    return found


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_value_of_the_wrong_type_is_refused(world: World, nonsense: str) -> None:
    """For every parameter except free texts, which are searched for and never ignored."""
    with assert_unchanged(world):
        for one in parameters(world):
            if one.name == "reason" or (nonsense in NUMBERS and one.name == "after"):
                continue
            answer = world.send(one.method, f"{one.target}?{one.name}={NONSENSE[nonsense]}")
            if one.name in FREE and answer.status_code == 200:
                assert answer.json()["items"] == [], (one, nonsense)
                continue
            refusal = problem(answer)
            assert answer.status_code == 422, (one, nonsense)
            assert refusal["field"] in {one.name, "selector"}, (one, nonsense)


@pytest.mark.parametrize("broken", BROKEN)
def test_bytes_that_are_not_utf8_are_refused(world: World, broken: str) -> None:
    """In the value and in the name of every parameter, free texts included."""
    with assert_unchanged(world):
        for one in parameters(world):
            for query in (f"{one.name}={BROKEN[broken]}", f"{BROKEN[broken]}={one.name}"):
                answer = world.send(one.method, f"{one.target}?{query}")
                assert (answer.status_code, problem(answer)["field"]) == (422, "query"), one


def test_duplicate_and_unknown_parameters_are_refused(world: World) -> None:
    """Except tags of a search, which may repeat."""
    with assert_unchanged(world):
        for one in parameters(world):
            value = str(one.schema.get("default", (one.schema.get("enum") or ["1"])[0])).lower()
            if one.name != "tag":
                answer = world.send(one.method, f"{one.target}?{one.name}={value}&{one.name}={value}")
                assert (answer.status_code, problem(answer)["field"]) == (422, one.name), one
            for other in (one.name.upper(), f"{one.name}[]", f"%20{one.name}", f"{one.name}%00"):
                answer = world.send(one.method, f"{one.target}?{other}={value}")
                assert (answer.status_code, problem(answer)["field"]) == (422, "query"), other


@pytest.mark.parametrize("field", ["created_from", "created_before"])
@pytest.mark.parametrize(
    ("text", "later"),
    [
        ("0001-01-01T00:00:00%2B23:59", False),
        ("0001-01-01T00:00:00Z", False),
        ("9999-12-31T23:59:59.999999Z", True),
        ("9999-12-31T23:59:59-23:59", True),
    ],
)
def test_times_at_the_ends_of_the_calendar_are_accepted(either: World, field: str, text: str, *, later: bool) -> None:
    """Also where the same moment has no date in UTC; such a search has further pages."""
    found = either.send("GET", f"/v1/models?{field}={text}")
    assert found.status_code == 200, found.text
    assert bool(found.json()["items"]) == (later == (field == "created_before"))


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("path", ["production", "resolve/production"])
def test_as_of_at_the_ends_of_the_calendar_is_refused(either: World, path: str, text: str) -> None:
    """It is outside the life of the model, or has no date in UTC."""
    with assert_unchanged(either):
        answer = either.send("GET", f"/v1/models/{MODEL}/{path}?as_of={text}")
    assert (answer.status_code, problem(answer)["field"]) == (422, "as_of")


def test_a_valid_value_of_each_parameter_is_accepted(either: World) -> None:
    """The checks above do not refuse everything."""
    right = {
        "as_of": dt.datetime.now(dt.UTC).isoformat().replace("+", "%2B"),
        "created_from": "2026-03-01t00:00:00.5%2B01:00",
        "created_before": "2999-03-01T00:00:00Z",
        "owner": "admin",
        "prefix": MODEL[:3],
        "tag": "team=fx",
        "type": "regression",
        "stage": "staging",
        "tombstoned": "true",
        "limit": "1000",
        "after": "0",
    }
    with either.http(either.token) as http:
        for one in parameters(either):
            if one.name in {"page_token", "reason"}:
                continue
            values = one.schema.get("enum", [right.get(one.name)])
            for value in values:
                answer = http.get(f"{one.target.replace('latest', 'production')}?{one.name}={value}")
                assert answer.status_code in {200, 404}, (one, answer.text)
                assert answer.is_success or answer.json()["code"] == "version_not_found"
