"""Client and server define each value once each, and both definitions say the same."""

import copy
from typing import Any

import jsonschema
import msgspec
import pytest
from pydantic import TypeAdapter

from common_lib.types.events import Event
from registry_server.domain.events import CloudEvent
from tests.contract.pairs import (
    CLIENT_ALONE,
    OTHER_NAMES,
    SERVER_ALONE,
    Pair,
    canonical,
    client_schema,
    client_values,
    pairs,
    server_schema,
    server_values,
    shared,
)

PAIRS = [pytest.param(pair, id=pair.name) for pair in pairs()]


@pytest.mark.parametrize("pair", [*PAIRS, *(pytest.param(pair, id=pair.name) for pair in shared())])
def test_both_sides_have_the_same_schema(pair: Pair) -> None:
    """Fields, types, limits, patterns, formats, defaults, what is required and what is forbidden: all are equal."""
    assert client_schema(pair.client) == server_schema(pair.server)


@pytest.mark.parametrize("pair", PAIRS)
def test_both_sides_have_the_same_fields_in_the_same_order(pair: Pair) -> None:
    """Both definitions list the same fields in the same order."""
    assert list(pair.client.model_fields) == [field.name for field in msgspec.structs.fields(pair.server)]


@pytest.mark.parametrize("pair", PAIRS)
def test_both_schemas_are_json_schema(pair: Pair) -> None:
    """Both are valid by the meta-schema of JSON Schema 2020-12."""
    for schema in (client_schema(pair.client), server_schema(pair.server), TypeAdapter(pair.client).json_schema()):
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("pair", PAIRS)
def test_requests_are_closed_and_answers_are_open(pair: Pair) -> None:
    """What is sent to the server may hold no unknown field, what it answers may."""
    assert server_schema(pair.server).get("additionalProperties") is (False if pair.is_request else None)


def test_no_value_is_without_a_partner() -> None:
    """Every model of the client and every Struct of the server is in a pair, or says why it needs none."""
    here = {pair.client.__name__.partition("[")[0] for pair in pairs()}
    there = {pair.server.__name__ for pair in pairs()}
    assert {name.partition("[")[0] for name in client_values()} == here | CLIENT_ALONE.keys()
    assert server_values().keys() == there | SERVER_ALONE.keys()
    assert not here & CLIENT_ALONE.keys()
    assert not there & SERVER_ALONE.keys()


def test_what_the_client_reads_of_an_event_is_what_the_server_documents() -> None:
    """Each field of an event that the client reads has the same schema in both, and all of them are always there."""
    read, documented = client_schema(Event), server_schema(CloudEvent)
    assert {name: documented["properties"].get(name) for name in read["properties"]} == read["properties"]
    assert documented["required"] == sorted(documented["properties"])
    assert read["required"] == sorted(read["properties"])


def test_only_listed_names_differ() -> None:
    """The map of differing names holds nothing that is the same or gone."""
    assert OTHER_NAMES.keys() <= client_values().keys()
    assert set(OTHER_NAMES.values()) <= server_values().keys()
    assert all(here != there for here, there in OTHER_NAMES.items())


DIFFERENCES: list[dict[str, Any]] = [
    {"type": "string", "maxLength": 127, "pattern": "^a$"},
    {"type": "string", "maxLength": 128, "pattern": "^b$"},
    {"type": "string", "maxLength": 128, "pattern": "^a$", "default": "a"},
    {"type": "string", "maxLength": 128, "pattern": "^a$", "format": "date-time"},
    {"type": "integer", "maxLength": 128, "pattern": "^a$"},
]


@pytest.mark.parametrize("other", DIFFERENCES)
def test_the_comparison_sees_a_difference(other: dict[str, Any]) -> None:
    """Any other limit, pattern, default, format or type, at any depth, makes the canonical schemas differ."""
    field = {"type": "string", "maxLength": 128, "pattern": "^a$", "title": "Name", "description": "A name."}
    schema = {
        "$ref": "#/$defs/Outer",
        "$defs": {
            "Outer": {"title": "Outer", "properties": {"title": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/In"}]}}},
            "In": {"type": "array", "items": field},
        },
    }
    changed = copy.deepcopy(schema)
    changed["$defs"]["In"]["items"] = other  # type: ignore[index]
    first, second = (canonical(one, one["$defs"]) for one in (schema, changed))  # type: ignore[arg-type]
    assert first != second
    assert first == {
        "properties": {
            "title": {
                "anyOf": [
                    {"items": {"maxLength": 128, "pattern": "^a$", "type": "string"}, "type": "array"},
                    {"type": "null"},
                ]
            }
        }
    }


def test_the_order_of_alternatives_and_words_for_people_make_no_difference() -> None:
    """Equal schemas written differently are equal."""
    here = {"anyOf": [{"type": "null"}, {"type": "string", "title": "T"}], "required": []}
    there = {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "words"}
    assert canonical(here, {}) == canonical(there, {})
