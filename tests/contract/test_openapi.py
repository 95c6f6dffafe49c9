"""The OpenAPI document is compared with a golden file, so that every difference is reviewed."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from registry_server.api.openapi import build
from registry_server.app import create_app
from registry_server.settings import Settings

GOLDEN = Path(__file__).with_name("openapi.json")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Provide the current document of the application."""
    made = build(create_app(Settings(data=Path("unused"), memory=True)))
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]


def _operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, op) for path, methods in document["paths"].items() for method, op in methods.items()]


def test_the_document_is_the_golden_one(document: dict[str, Any]) -> None:
    """The document changes only on purpose; REGENERATE=1 writes the golden file."""
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("REGENERATE"):
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8"), f"REGENERATE=1 pytest {Path(__file__).name}, then review the difference"


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    """Each has a unique id, a sentence, a schema of its response and the schema of problems."""
    operations = _operations(document)
    assert len({op["operationId"] for _, _, op in operations}) == len(operations)
    for path, _, op in operations:
        assert op["description"].strip().endswith("."), path
        problem = op["responses"]["default"]["content"]["application/problem+json"]["schema"]
        assert problem == {"$ref": "#/components/schemas/Problem"}
        for status, answer in op["responses"].items():
            if status not in {"204", "304", "default"}:
                (content,) = answer["content"].values()
                assert content["schema"], path


def test_request_schemas_allow_no_other_fields(document: dict[str, Any]) -> None:
    """Every request body refuses unknown fields at every level."""
    schemas = document["components"]["schemas"]

    def closed(schema: Any) -> None:
        if isinstance(schema, dict):
            if "$ref" in schema:
                closed(schemas[schema["$ref"].rpartition("/")[2]])
            if "properties" in schema:
                assert schema["additionalProperties"] is False, schema["title"]
            for part in schema.values():
                closed(part)
        elif isinstance(schema, list):
            for part in schema:
                closed(part)

    taken = [op["requestBody"]["content"]["application/json"] for _, _, op in _operations(document) if _json_body(op)]
    assert len(taken) >= 10
    for body in taken:
        closed(body["schema"])


def _json_body(operation: dict[str, Any]) -> bool:
    return "application/json" in operation.get("requestBody", {}).get("content", {})


def test_every_placeholder_of_an_address_is_a_parameter(document: dict[str, Any]) -> None:
    """Each `{name}` of a path is a required parameter; no parameter occurs twice or may be null."""
    for path, _, op in _operations(document):
        assert re.findall(r"\{(\w+)\}", path) == [p["name"] for p in op["parameters"] if p["in"] == "path"]
        places = [(p["in"], p["name"]) for p in op["parameters"]]
        assert len(set(places)) == len(places)
        for parameter in op["parameters"]:
            assert parameter["required"] is True or parameter["in"] != "path"
            assert "null" not in json.dumps(parameter["schema"])


def test_lists_document_their_limit_and_orders(document: dict[str, Any]) -> None:
    """A limit has a minimum and a maximum, and the default order is one of the possible orders."""
    limits, orders = (
        [p["schema"] for _, _, op in _operations(document) for p in op["parameters"] if p["name"] == name]
        for name in ("limit", "order")
    )
    assert {(limit["minimum"], limit["default"], limit["maximum"]) for limit in limits} == {(1, 100, 1_000)}
    assert [order["default"] for order in orders] == ["name", "-version"]
    assert all(order["default"] in order["enum"] for order in orders)


def test_entities_with_if_match_return_an_etag(document: dict[str, Any]) -> None:
    """An operation with If-Match returns the next ETag, and a GET with If-None-Match can return 304."""
    for path, method, op in _operations(document):
        headers = {p["name"] for p in op["parameters"] if p["in"] == "header"}
        tagged = {status for status, answer in op["responses"].items() if "ETag" in answer["headers"]}
        if "If-Match" in headers and method != "delete":
            assert tagged, path
        assert ("304" in op["responses"]) == (method == "get" and "If-None-Match" in headers), path
        assert all("X-Request-Id" in answer["headers"] for answer in op["responses"].values()), path


def test_changes_document_their_headers(document: dict[str, Any]) -> None:
    """Unsafe requests that are harmful to repeat have an Idempotency-Key, and changes have If-Match."""
    harmless = {"begin_upload", "check_presence", "collect_garbage", "delete_upload", "put_blobs", "put_part"}
    harmless |= {"verify_blob"}
    for path, method, op in _operations(document):
        headers = {p["name"]: p["required"] for p in op.get("parameters", []) if p["in"] == "header"}
        assert ("Idempotency-Key" in headers) == (method != "get" and op["operationId"] not in harmless), path
        changes = op["operationId"].startswith(("update_", "tombstone_", "transition_", "set_", "delete_"))
        if changes and op["operationId"] not in harmless:
            assert "If-Match" in headers, path


def test_every_schema_is_valid(document: dict[str, Any]) -> None:
    """Every schema is valid JSON Schema 2020-12, and every reference has a target."""
    for schema in _values_of(document, "schema"):
        jsonschema.Draft202012Validator.check_schema(schema)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    used = set()
    for reference in _values_of(document, "$ref"):
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in document["components"][kind]
        used.add((kind, name))
    assert used == {(kind, name) for kind in ("schemas", "headers") for name in document["components"][kind]}


def test_only_the_health_of_the_server_is_public(document: dict[str, Any]) -> None:
    """Every operation except the health checks requires a token."""
    public = {op["operationId"] for _, _, op in _operations(document) if "security" not in op}
    assert public == {"live", "ready"}


def _values_of(part: Any, key: str) -> Iterator[Any]:
    """Yield the values of a key at any depth."""
    if isinstance(part, dict):
        if key in part:
            yield part[key]
        for inner in part.values():
            yield from _values_of(inner, key)
    elif isinstance(part, list):
        for inner in part:
            yield from _values_of(inner, key)
