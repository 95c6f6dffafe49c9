"""Each side reads what the other writes as the same value, and refuses the same documents."""

import functools
import hashlib
import json
import math
from datetime import UTC, datetime
from typing import Annotated, Any, get_args

import msgspec
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

import common_lib.types
import registry_server.domain
from common_lib.errors import InvalidRequest
from common_lib.operations.base import Answer, json_reader
from common_lib.operations.base import request_body as body_of
from common_lib.operations.models import create
from common_lib.rules import canonical, names
from common_lib.rules.violation import RuleViolation
from common_lib.types.base import Value
from common_lib.types.events import Event
from common_lib.types.versions import CreateVersion
from registry_server.domain import base, events
from tests.contract.documents import TEXT, documents, encoded, spoilt, with_unknown_fields
from tests.contract.pairs import Pair, modules_of, pairs, server_schema, shared

ALL = [pytest.param(pair, id=pair.name) for pair in pairs()]
WITH_SHARED = [pytest.param(pair, id=pair.name) for pair in [*pairs(), *shared()]]
REQUESTS = [pytest.param(pair, id=pair.name) for pair in pairs() if pair.is_request]
ANSWERS = [pytest.param(pair, id=pair.name) for pair in pairs() if not pair.is_request]
STRICT = Value.model_config

CLIENT_MODULES = list(modules_of(common_lib.types))
SERVER_MODULES = list(modules_of(registry_server.domain))

# The field types that both sides define, by the name that they have on both sides.
TYPES = [
    "ModelName",
    "AliasName",
    "PrincipalName",
    "ModelPattern",
    "Sha256",
    "Digest",
    "PageToken",
    "VersionNumber",
    "Revision",
    "Count",
    "Dimension",
    "Reason",
    "Description",
    "ShortText",
    "MediaType",
    "Scalar",
    "Seconds",
    "Key",
    "Clock",
    "Day",
    "Zone",
    "Tolerance",
    "Approvals",
]
RULES = {
    "ModelName": names.check_model_name,
    "AliasName": names.check_alias,
    "PrincipalName": names.check_principal_name,
    "Sha256": names.check_sha256,
}

# What fails is printed with the blob that reproduces it.
fairly = settings(max_examples=30, deadline=None, print_blob=True)


@functools.cache
def sound(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy of documents that the server accepts as a value of that kind."""
    return documents(server_schema(kind))


def with_files(document: Any) -> Any:
    """Add what a rule requires of a version beside its schema: a framework, and files with distinct paths."""
    if not isinstance(document, dict) or not {"files", "framework"} <= document.keys():
        return document
    one = {"size": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    files = [file | {"path": f"file-{number}"} for number, file in enumerate(document["files"] or [one])]
    return document | {"framework": document["framework"] or "x", "files": files}


@functools.cache
def wrong(kind: Any) -> st.SearchStrategy[Any]:
    """Return the same strategy with one mistake in each document."""
    return spoilt(sound(kind))


@functools.cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return the client's reader of a value; a bare field is read as strictly as within a value."""
    return TypeAdapter(kind, config=None if isinstance(kind, type) else STRICT)


def client_reads(kind: Any, body: bytes) -> bool:
    """Return whether the client accepts the JSON as a value of that kind."""
    try:
        adapter(kind).validate_json(body)
    except ValidationError:
        return False
    return True


def server_reads(kind: Any, body: bytes) -> bool:
    """Return whether the server accepts the JSON as a value of that kind."""
    try:
        msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        return False
    return True


def types_of(name: str) -> tuple[Any, Any]:
    """Return a field type as the client and as the server define it."""
    here, there = (
        next(getattr(module, name) for module in modules if hasattr(module, name))
        for modules in (CLIENT_MODULES, SERVER_MODULES)
    )
    return here, there


@pytest.mark.parametrize("pair", WITH_SHARED)
@fairly
@given(data=st.data())
def test_the_client_reads_what_the_server_writes(pair: Pair, data: st.DataObject) -> None:
    """A value that the server wrote is the same value after the client read it and wrote it again."""
    written = msgspec.json.decode(encoded(data.draw(sound(pair.server))), type=pair.server)
    adapter = TypeAdapter(pair.client)
    value = adapter.validate_json(msgspec.json.encode(written))
    again = msgspec.json.decode(adapter.dump_json(value, exclude_unset=pair.is_request), type=pair.server)
    assert msgspec.json.encode(again) == msgspec.json.encode(written)


@pytest.mark.parametrize("pair", REQUESTS)
@fairly
@given(data=st.data())
def test_the_server_reads_what_the_client_sends(pair: Pair, data: st.DataObject) -> None:
    """A request that the client wrote is the same request after the server read it and wrote it again."""
    value = pair.client.model_validate_json(encoded(with_files(data.draw(sound(pair.server)))))
    try:
        sent = body_of(pair.client, **{name: getattr(value, name) for name in value.model_fields_set})
    except InvalidRequest:  # by a rule that no schema holds, which both sides share
        reject()
    again = pair.client.model_validate_json(msgspec.json.encode(msgspec.json.decode(sent, type=pair.server)))
    assert again == value
    assert again.model_dump_json() == value.model_dump_json()


@pytest.mark.parametrize("pair", ALL)
@settings(fairly, max_examples=50)
@given(data=st.data())
def test_both_sides_refuse_the_same_documents(pair: Pair, data: st.DataObject) -> None:
    """Both sides read a document with one mistake, or both refuse it."""
    _assert_both_read_or_none(pair, data)


@pytest.mark.long
@pytest.mark.parametrize("pair", ALL)
@settings(fairly, max_examples=2_000)
@given(data=st.data())
def test_both_sides_refuse_the_same_of_many_documents(pair: Pair, data: st.DataObject) -> None:
    """The same property for forty times as many documents."""
    _assert_both_read_or_none(pair, data)


def _assert_both_read_or_none(pair: Pair, data: st.DataObject) -> None:
    body = encoded(data.draw(wrong(pair.server)))
    assert client_reads(pair.client, body) == server_reads(pair.server, body)


@pytest.mark.parametrize("pair", WITH_SHARED)
@fairly
@given(data=st.data())
def test_the_client_ignores_unknown_fields_in_answers(pair: Pair, data: st.DataObject) -> None:
    """A field of a newer server, at any depth, changes nothing for an older client."""
    document = data.draw(sound(pair.server))
    newer = with_unknown_fields(document, server_schema(pair.server), deep=True)
    read = json_reader(pair.client)
    assert read(Answer(200, {}, encoded(newer))) == read(Answer(200, {}, encoded(document)))


@pytest.mark.parametrize("pair", REQUESTS)
@fairly
@given(data=st.data())
def test_both_sides_refuse_unknown_fields_of_requests(pair: Pair, data: st.DataObject) -> None:
    """The client refuses a misspelt field before it sends, and the server refuses it from any client."""
    document = data.draw(sound(pair.server))
    body = encoded(with_unknown_fields(document, server_schema(pair.server), deep=False))
    assert not server_reads(pair.server, body)
    with pytest.raises(InvalidRequest):
        pair.client(**json.loads(body))


@pytest.mark.parametrize("name", TYPES)
@settings(fairly, max_examples=100)
@given(data=st.data())
def test_both_sides_accept_the_same_field_values(name: str, data: st.DataObject) -> None:
    """Both sides accept a text or number, or both refuse it."""
    here, there = types_of(name)
    body = encoded(data.draw(wrong(there) | TEXT | st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
    assert client_reads(here, body) == server_reads(there, body)


def test_every_field_type_is_compared() -> None:
    """Field types of either side are all in the table above."""
    found = {
        name
        for module in (*CLIENT_MODULES, *SERVER_MODULES)
        for name, thing in vars(module).items()
        if name[0].isupper() and not isinstance(thing, type) and get_args(thing)
    }
    assert found == {*TYPES, "Time", "Moment", "TokenId", "Exact"}


@pytest.mark.parametrize("name", [name for name in TYPES if "pattern" in server_schema(types_of(name)[1])])
@fairly
@given(data=st.data())
def test_a_trailing_newline_is_never_part_of_a_name(name: str, data: st.DataObject) -> None:
    """Both sides accept a name, and both refuse it with a newline at its end."""
    here, there = types_of(name)
    text = data.draw(sound(there))
    assert client_reads(here, encoded(text))
    assert server_reads(there, encoded(text))
    assert not client_reads(here, encoded(f"{text}\n"))
    assert not server_reads(there, encoded(f"{text}\n"))


@pytest.mark.parametrize("name", [name for name in TYPES if "maxLength" in server_schema(types_of(name)[1])])
@pytest.mark.parametrize("character", ["a", "é", "🙂"])
def test_both_sides_count_lengths_in_characters(name: str, character: str) -> None:
    """The longest text that one side accepts is the longest that the other accepts."""
    here, there = types_of(name)
    longest = server_schema(there)["maxLength"]
    for length in range(longest - 2, longest + 3):
        body = encoded(character * length)
        assert client_reads(here, body) == server_reads(there, body)
        assert length <= longest or not server_reads(there, body)


@pytest.mark.parametrize("name", RULES)
@settings(fairly, max_examples=100)
@given(data=st.data())
def test_values_that_a_rule_accepts_pass_both_schemas(name: str, data: st.DataObject) -> None:
    """The rules may be stricter than the patterns on the wire, never looser."""
    here, there = types_of(name)
    text = data.draw(sound(there) | TEXT)
    try:
        RULES[name](text)
    except RuleViolation:
        return
    assert client_reads(here, encoded(text))
    assert server_reads(there, encoded(text))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
@pytest.mark.parametrize("field", ["metrics", "parameters"])
def test_nan_and_infinities_are_refused(number: str, field: str) -> None:
    """They are not JSON; a number beyond the doubles would become an infinity."""
    body = f'{{"files": [], "framework": "onnx", "{field}": {{"loss": {number}}}}}'.encode()
    assert not client_reads(CreateVersion, body)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(body, type=next(pair.server for pair in pairs() if pair.name == "CreateVersion"))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_the_client_sends_no_nan(number: float) -> None:
    """Both libraries would write NaN as null, so the client refuses it first."""
    with pytest.raises(InvalidRequest):
        create("eurusd", "forecasting", metadata={"loss": number})


@fairly
@given(
    sequence=st.integers(0, 10**20 - 1),
    time=st.datetimes(datetime(2000, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - Hypothesis adds the zone
    state=st.dictionaries(
        st.sampled_from(["revision", "tags", "metrics"]),
        st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | TEXT
        | st.none()
        | st.dictionaries(TEXT, TEXT),
    ),
    reason=TEXT,
    forced=st.booleans(),
)
def test_the_client_reads_the_stored_bytes_of_an_event(
    sequence: int, time: Any, state: dict[str, Any], reason: str, forced: Any
) -> None:
    """An event is sent as it is stored, and the client reads exactly what was written."""
    change = events.Change("model.updated", "models/eurusd", {}, {"models/eurusd": state}, reason, forced)
    about = {"event_id": "e1", "actor": "admin", "request_id": "r1", "source": "urn:uuid:1"}
    body, _ = events.encode(change, sequence=sequence, time=time, **about)
    documented = msgspec.json.decode(body, type=events.CloudEvent)
    assert set(json.loads(body)) == set(documented.__struct_fields__)
    (event,) = json_reader(list[Event])(Answer(200, {}, b"[" + body + b"]"))
    assert (event.id, event.actor, event.requestid, event.source) == ("e1", "admin", "r1", "urn:uuid:1")
    assert (int(event.sequence), event.time, event.subject) == (sequence, time, "models/eurusd")
    assert event.type == "registry.model.updated"
    assert canonical.with_floats(event.data) == {
        "after": {"models/eurusd": state},
        "before": {},
        "forced": forced,
        "reason": reason,
    }


def test_the_comparison_finds_a_planted_difference() -> None:
    """A client that accepts one more character, or texts for numbers, fails the comparison."""
    body = encoded("a" * 129)
    longer = Field(max_length=129)
    assert client_reads(Annotated[str, longer], body) != server_reads(base.ModelName, body)
    assert TypeAdapter(int).validate_json(b'"3"') == 3
    assert not server_reads(base.VersionNumber, b'"3"')
