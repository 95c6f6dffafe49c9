"""JSON documents that a JSON Schema allows, and the same documents with one mistake."""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

# JSON has no lone surrogates; both sides refuse them before they look at types.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KEYS = st.text("abc_", min_size=1, max_size=4)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, -1, 1.5, 1.0, 2**31, 2**64, 1e300, "", "a", "a\n", "..", "3", "archived", [], {}, [None]]
)
UNKNOWN = "a-field-of-the-future"


def documents(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of documents that a canonical schema allows."""
    if "anyOf" in schema:
        return st.one_of([documents(one) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    made: dict[str, Callable[[dict[str, Any]], st.SearchStrategy[Any]]] = {
        "object": _objects,
        "array": lambda array: st.lists(documents(array["items"]), max_size=3),
        "string": _texts,
        "integer": lambda number: st.integers(number.get("minimum", -(2**70)), number.get("maximum", 2**70)),
        "number": lambda number: st.floats(number.get("minimum"), allow_nan=False, allow_infinity=False),
        "boolean": lambda _: st.booleans(),
        "null": lambda _: st.none(),
    }
    return made[schema["type"]](schema)


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "properties" not in schema:
        return st.dictionaries(KEYS | TEXT, documents(schema["additionalProperties"]), max_size=3)
    fields = {name: documents(field) for name, field in schema["properties"].items()}
    required = schema.get("required", [])
    return st.fixed_dictionaries(
        {name: fields[name] for name in required},
        optional={name: field for name, field in fields.items() if name not in required},
    )


def _texts(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    longest = schema.get("maxLength", 12)
    if "format" in schema:
        assert schema["format"] == "date-time"
        # The client refuses times that a time zone could take beyond the years that Python knows.
        first, last = datetime(2, 1, 2), datetime(9998, 12, 30)  # noqa: DTZ001 - Hypothesis adds the zone
        return st.datetimes(first, last, timezones=ZONES).map(datetime.isoformat)
    if "pattern" in schema:
        # All patterns are anchored; without the anchors Hypothesis needs to throw nothing away.
        whole = schema["pattern"].removeprefix("^").removesuffix(r"$(?!\n)")
        named = st.from_regex(whole, fullmatch=True)
        return named.filter(lambda text: len(text) <= longest) if "maxLength" in schema else named
    return TEXT.filter(lambda text: len(text) <= longest) | st.sampled_from(["é" * longest, "🙂" * longest])


@st.composite
def spoilt(draw: st.DrawFn, sound: st.SearchStrategy[Any]) -> Any:
    """Change one thing of a document: a value, a missing or extra field, a longer text, or a final line break."""
    document = {"document": draw(sound)}
    holder, key = draw(st.sampled_from(list(_places(document))))
    value = holder[key]
    changes: list[Any] = [copy.deepcopy(draw(WRONG))]
    if isinstance(value, str):
        changes += [f"{value}\n", f"{value}a", f" {value}", value.ljust(300, "a"), value[:-1]]
    if str(key).endswith(("at", "since", "until")):
        # pydantic takes a text of digits for seconds since 1970. The server writes none, and no request holds a time.
        changes = [change for change in changes if change != "3"]
    if isinstance(value, dict):
        changes += [value | {UNKNOWN: 1}, dict(list(value.items())[1:])]
    if isinstance(value, int):
        changes += [str(value), float(value) if abs(value) < 2**53 else 0.5, value + 1, value - 1]
    holder[key] = draw(st.sampled_from(changes or [False]))
    return document["document"]


def with_unknown_fields(document: Any, schema: dict[str, Any], *, deep: bool) -> Any:
    """Add a field that no schema has, to the outermost object or to every object with declared fields."""
    for one in schema.get("anyOf", []):
        if one.get("type") in {"object", "array"} and isinstance(document, dict | list):
            return with_unknown_fields(document, one, deep=deep)
    if "properties" in schema and isinstance(document, dict):
        fields = {
            name: with_unknown_fields(value, schema["properties"][name], deep=deep) if deep else value
            for name, value in document.items()
        }
        return fields | {UNKNOWN: {"more": [1]}}
    if "items" in schema and isinstance(document, list) and deep:
        return [with_unknown_fields(item, schema["items"], deep=deep) for item in document]
    return document


def encoded(document: Any) -> bytes:
    """Encode the document as it travels."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])
