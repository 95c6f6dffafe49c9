"""Pairs of the two definitions of each value, found by name, and the common form of their schemas."""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import msgspec
from pydantic import BaseModel, TypeAdapter

import common_lib
import registry_server.api
import registry_server.domain
from common_lib.rules.fields import AnswerBody
from common_lib.types.base import Page, RequestModel
from common_lib.types.models import RegisteredModel
from registry_server.api.openapi import add_limits
from registry_server.domain import base, models

# A client's name, where the server has another.
OTHER_NAMES = {"FieldSpec": "Field"}
CLIENT_ALONE = {
    "_Entry": "what a file of the client's cache holds, never sent",
    "Value": "a base without fields",
    "RequestModel": "a base without fields",
    "Event": "the server sends events as the bytes it stored; compared with CloudEvent, of which it reads a part",
}
SERVER_ALONE = {
    "Request": "a base without fields",
    "Answer": "an answer on its way out, never encoded itself",
    "FirstAnswer": "a row",
    "StoreIdentity": "a row: the id of the store, and the folder that the database belongs to",
    "Change": "what becomes an event",
    "Progress": "a row: how far an upload is",
    "CloudEvent": "says what the bytes of an event hold; compared with the client's Event",
    "Event": "a row: the place of an event and its bytes",
    "Tenure": "a row: what is in production from when on",
    "ModelFilter": "query parameters",
    "VersionFilter": "query parameters",
    "Window": "query parameters",
}


class Pair(NamedTuple):
    """One value as the client and as the server define it."""

    client: Any
    server: Any

    @property
    def name(self) -> str:
        """The client's name of the value."""
        return str(self.client.__name__)

    @property
    def is_request(self) -> bool:
        """True if the client sends the value, whole or as a part, so that unknown fields are refused."""
        return issubclass(self.client, RequestModel)


def client_values() -> dict[str, type[BaseModel]]:
    """Return every pydantic model that common_lib defines, by name."""
    return {
        thing.__name__: thing
        for module in modules_of(common_lib)
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, BaseModel) and thing.__module__ == module.__name__
    }


def server_values() -> dict[str, type[msgspec.Struct]]:
    """Return every Struct that the server's domain and api define, by name."""
    return {
        thing.__name__: thing
        for package in (registry_server.domain, registry_server.api)
        for module in modules_of(package)
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, msgspec.Struct) and thing.__module__ == module.__name__
    }


def pairs() -> list[Pair]:
    """Return all pairs; the pages of models stand for every kind of page."""
    server = server_values()
    found = [
        Pair(client, server[OTHER_NAMES.get(name, name)])
        for name, client in client_values().items()
        if OTHER_NAMES.get(name, name) in server and name not in {*CLIENT_ALONE, "Page"} and "[" not in name
    ]
    found.append(Pair(Page[RegisteredModel], base.Page[models.RegisteredModel]))
    return sorted(found, key=lambda pair: pair.name)


def shared() -> list[Pair]:
    """Return the types that both sides share, each as a pair of itself."""
    kinds = {kind.__name__: kind for kind in AnswerBody.__subclasses__()}
    return [Pair(kind, kind) for _, kind in sorted(kinds.items())]


def client_schema(kind: Any) -> Any:
    """Return the canonical JSON Schema of a value of the client."""
    schema = TypeAdapter(kind).json_schema()
    return canonical(schema, schema.get("$defs", {}))


def server_schema(kind: Any) -> Any:
    """Return the canonical JSON Schema of a value of the server."""
    schema = msgspec.json.schema(kind)
    definitions = schema.get("$defs", {})
    add_limits(definitions)
    return canonical(schema, definitions)


def canonical(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema with inlined references, sorted alternatives and sets, and no text for people."""
    if "$ref" in schema:
        whole = definitions[schema["$ref"].rpartition("/")[2]]
        return canonical(whole | {key: value for key, value in schema.items() if key != "$ref"}, definitions)
    result: dict[str, Any] = {}
    meant = {key: value for key, value in schema.items() if key not in {"title", "description", "$defs"}}
    if meant.get("additionalProperties") is True:
        # One writes that anything may stand in an object of anything, the other does not.
        del meant["additionalProperties"]
    for key, value in meant.items():
        match key:
            case "properties":
                result[key] = {name: canonical(field, definitions) for name, field in value.items()}
            case "anyOf":
                result[key] = sorted((canonical(one, definitions) for one in value), key=_text)
            case "required" | "enum":
                result[key] = sorted(value)
            case "items" | "additionalProperties" if isinstance(value, dict):
                result[key] = canonical(value, definitions)
            case _:
                result[key] = value
    if "enum" in result:
        # One writes that the members of an enum of texts are texts, the other does not.
        assert all(isinstance(member, str) for member in result["enum"])
        result.pop("type", None)
    if not result.get("required", True):
        del result["required"]
    return result


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    """Import every module below a package and yield it."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        # The command line is an extra, and defines no values.
        if found.name.split(".")[1] != "cli":
            yield importlib.import_module(found.name)


def _text(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True)
