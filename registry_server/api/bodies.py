"""JSON bodies, strictly: no unknown field, no coercion, no duplicate key, and an error that names the value."""

import json
from collections.abc import Generator
from typing import Any, ClassVar

import msgspec
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition

from registry_server.domain.errors import InvalidRequest, RegistryError

_MAX_DEPTH = 32


class StrictJson(AbstractDTO[Any]):
    """How every `data` parameter is read; Litestar's own way would take `"7"` for a number."""

    _decoders: ClassVar[dict[str, msgspec.json.Decoder[Any]]] = {}

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        """Prepare the decoder of one handler."""
        cls._decoders[handler_id] = msgspec.json.Decoder(field_definition.annotation)

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        """The schema of the Struct itself."""
        schema: Reference | Schema = schema_creator.for_field_definition(field_definition)
        return schema

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Generator[DTOFieldDefinition, None, None]:
        """Nothing: no transfer model is made."""
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        """Nothing is nested that is not made."""
        return False

    def decode_bytes(self, value: bytes) -> Any:
        """The Struct in the body.

        Raises:
            RegistryError: `unsupported_media_type`, `invalid_json` or `invalid_request`.
        """
        media_type = self.asgi_connection.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" or "content-encoding" in self.asgi_connection.headers:
            raise RegistryError(
                f"the body is {media_type or 'of no media type'}, or encoded",
                remedy="send it plain, as Content-Type: application/json",
                field="Content-Type",
                value=media_type,
                code="unsupported_media_type",
            )
        document = _strict(value)
        try:
            return self._decoders[self.asgi_connection.route_handler.handler_id].decode(value)
        except msgspec.ValidationError as error:
            message, _, place = str(error).partition(" - at `")
            path = place.rstrip("`").removeprefix("$").removeprefix(".")
            raise InvalidRequest(
                f"{path or 'body'}: {message}",
                remedy="see the OpenAPI document for the fields there are and their types",
                field=path or None,
                value=_at(document, path),
            ) from None


def _strict(value: bytes) -> Any:
    """Parse, refusing what parsers disagree about: duplicate keys, NaN, lone surrogates, deep nesting."""
    depth = 0

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise _invalid_json(f"the key {twice!r:.100} stands twice", twice)
        return found

    for byte in value:
        depth += (byte in b"[{") - (byte in b"]}")
        if depth > _MAX_DEPTH:
            raise _invalid_json(f"the body is nested deeper than {_MAX_DEPTH}", depth)
    try:
        document = json.loads(value, object_pairs_hook=unique, parse_constant=_no_constant)
        json.dumps(document, ensure_ascii=False).encode()
    except RegistryError:
        raise
    except UnicodeEncodeError:
        raise _invalid_json("the body holds a lone surrogate", None) from None
    except ValueError as error:
        raise _invalid_json(f"the body cannot be parsed: {error}"[:200], None) from None
    return document


def _no_constant(name: str) -> Any:
    raise _invalid_json(f"{name} is not JSON", name)


def _invalid_json(detail: str, value: Any) -> InvalidRequest:
    return InvalidRequest(detail, remedy="send one JSON value in UTF-8", field="body", value=value, code="invalid_json")


def _at(document: Any, path: str) -> Any:
    """The value at a path such as `files[0].size` or `tags[...]`, if there is one."""
    for step in path.replace("]", "").replace("[", ".").split("."):
        if step in {"", "..."}:
            return document if path == "" else None
        try:
            document = document[int(step)] if isinstance(document, list) else document[step]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return document
