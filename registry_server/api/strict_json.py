"""Strict parsing of JSON bodies: no unknown field, no coercion, no duplicate key. Errors contain the wrong value."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Generator
from typing import Any, Final

import msgspec
from litestar.datastructures import Headers
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition

from registry_server.domain import errors

# The key of the parsed body in the scope of a request.
PARSED: Final = "registry_json"
_EXCERPT_BYTES = 200
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_KINDS = {b'"': "str", b"t": "bool", b"f": "bool", b"n": "null", b"[": "array", b"{": "object"}
_SURROGATES = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)")


class StrictJson(AbstractDTO[Any]):
    """The decoder of every `data` parameter; Litestar's own decoding would accept `"7"` as a number."""

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        """Create nothing: a decoder is made when the first body of its type arrives."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        """Return the schema of the Struct itself."""
        schema: Reference | Schema = schema_creator.for_field_definition(field_definition)
        return schema

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Generator[DTOFieldDefinition, None, None]:
        """Generate nothing, because a transfer model is not used."""
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        """Return False, because a transfer model is not used."""
        return False

    def decode_bytes(self, value: bytes) -> Any:  # noqa: ARG002 - it has been parsed already
        """Return the Struct that `prepare_json` has parsed from the body."""
        scope: Any = self.asgi_connection.scope
        return scope[PARSED]


def get_decoder(handler: Any) -> msgspec.json.Decoder[Any]:
    """Return the decoder for the type of a handler's `data` parameter."""
    declared = handler.parsed_fn_signature.parameters["data"].annotation
    decoder = _decoders.get(declared)
    if decoder is None:
        decoder = _decoders[declared] = msgspec.json.Decoder(declared)
    return decoder


def parse(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Parse a body strictly.

    Raises:
        InvalidJson: the body is not one JSON value.
        FieldInvalid: a field is missing or unknown, or has a value of the wrong type.
    """
    try:
        decoded = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _not_as_declared(body, str(error)) from None
    except msgspec.DecodeError as error:
        raise _malformed(body, str(error)) from None
    except UnicodeDecodeError as error:
        raise errors.InvalidJson(_excerpt(error.object), f"is not UTF-8: {error.reason}") from None
    # msgspec uses the last of two equal keys and another parser the first, so duplicates are refused.
    _keys.decode(body.decode())
    return decoded


def require_plain_json(headers: Headers) -> None:
    """Check that a body is JSON by its media type, and that it has no content encoding.

    Raises:
        MediaTypeNotSupported: the body is not plain JSON.
    """
    media_type, _, parameter = headers.get("content-type", "").lower().replace(" ", "").partition(";")
    if encoding := headers.get("content-encoding"):
        raise errors.MediaTypeNotSupported("Content-Encoding", encoding, "JSON without Content-Encoding")
    if media_type != "application/json" or parameter.replace('"', "") not in {"", "charset=utf-8"}:
        expected = "JSON in UTF-8 as application/json"
        raise errors.MediaTypeNotSupported("Content-Type", headers.get("content-type", ""), expected)


def _check_unique(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        repeated = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise errors.InvalidJson(repeated, f"has the key {repeated!r:.100} twice")


# Only the keys matter here: converting numbers with thousands of digits would take long, or fail.
_keys = json.JSONDecoder(object_pairs_hook=_check_unique, parse_int=str, parse_float=str)


def _malformed(body: bytes, message: str) -> errors.InvalidJson:
    lone = next((match[1] for match in _SURROGATES.finditer(body) if match[1]), None)
    if lone is not None:
        return errors.InvalidJson(_excerpt(lone), "contains a lone surrogate")
    place = re.search(r"\(byte (\d+)\)", message)
    start = int(place[1]) if place else max(0, len(body) - _EXCERPT_BYTES)
    return errors.InvalidJson(_excerpt(body[start:]), f"cannot be parsed: {message}")


def _not_as_declared(body: bytes, message: str) -> errors.FieldInvalid:
    """Build an error from a message such as "Expected `int`, got `str` - at `$.files[0].size`"; add the wrong value."""
    what, at, place = message.rpartition(" - at `$")
    what, path = (what, place.rstrip("`")) if at else (message, "")
    steps = re.findall(r"\.\.\.|[^.\[\]]+", path)
    _, named, name = what.partition(" field `")
    if named:
        steps.append(name.removesuffix("`"))
        path = f"{path}.{steps[-1]}"
    raw, value = msgspec.Raw(body), None
    # No value can be reported if the field is missing, or if the rest of the body is not JSON.
    with contextlib.suppress(msgspec.MsgspecError, LookupError, RecursionError, UnicodeDecodeError):
        for step in steps:
            key, raw = _step_into(raw, step, what)
            path = path.replace("[...]", f".{key}", 1) if step == "..." else path
        value = _format_value(bytes(raw))
    return errors.FieldInvalid(path.removeprefix(".") or "body", value, what)


def _step_into(value: msgspec.Raw, step: str, what: str) -> tuple[str, msgspec.Raw]:
    """Return the key and the value one level deeper; "..." selects the first entry that the message matches."""
    if bytes(value).lstrip()[:1] == b"[":
        return step, msgspec.json.decode(value, type=list[msgspec.Raw])[int(step)]
    entries = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    if step == "...":
        step = next((key for key, entry in entries.items() if _is_matched(bytes(entry), what)), step)
    return step, entries[step]


def _is_matched(value: bytes, what: str) -> bool:
    kind = _KINDS.get(value[:1]) or ("float" if set(value) & set(b".eE") else "int")
    if kind in {"int", "float"} and "out of range" in what:
        try:
            msgspec.json.decode(value, type=float)
        except msgspec.ValidationError:
            return True
    return f"got `{kind}`" in what


def _format_value(value: bytes) -> str:
    """Return a JSON string as plain text, and any other JSON value as an excerpt of its JSON."""
    return str(msgspec.json.decode(value)) if value[:1] == b'"' else _excerpt(value)


def _excerpt(value: bytes) -> str:
    return value[:_EXCERPT_BYTES].decode("utf-8", "backslashreplace")
