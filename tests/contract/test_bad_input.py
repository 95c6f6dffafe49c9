"""Bad input on both engines: a 4xx with the value and a remedy, no change and no logged error."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common_lib.rules.codes import Code
from tests.security import bad_requests as table
from tests.security.bad_requests import MODEL, ONE, Bad
from tests.security.worlds import CONTENT, SHA256, World, assert_unchanged, key, logged, open_world, problem


@pytest.fixture(scope="module", params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Provide one registry for all tests of this file; only two of them change it."""
    with open_world(request) as this:
        yield this


@pytest.mark.parametrize(
    "bad",
    [*table.FIELDS, *table.BODIES, *table.KEYS, *table.MOVES, *table.POLICIES, *table.LISTS],
    ids=lambda bad: f"{bad.method} {bad.what}"[:70],
)
def test_bad_input_is_refused_with_its_field_and_value(world: World, bad: Bad) -> None:
    """Status and code are stable, and the stored state does not change."""
    with assert_unchanged(world):
        answer = world.send(bad.method, bad.target, bad.body, bad.headers)
    refusal = problem(answer)
    assert (refusal["code"], refusal.get("field")) == (bad.code, bad.field), refusal
    assert answer.status_code == Code(bad.code).status
    if bad.value:
        assert refusal["value"].startswith(bad.value), refusal
    else:
        assert refusal.get("value") == bad.value


@pytest.mark.parametrize("what", table.REVISED)
@pytest.mark.parametrize(
    ("if_match", "code"),
    [
        (None, "revision_required"),
        (b'"99"', "revision_mismatch"),
        (b'"99.1.0"', "revision_mismatch"),
        (b'W/"1"', "revision_mismatch"),
        (b'W/"2"', "revision_mismatch"),
        (b'"98", "99"', "revision_mismatch"),
        *(
            (wrong, "invalid_if_match")
            for wrong in (b"", b"1", b"*, *", b'"0"', b'"-1"', b'"01"', b'"x"', b'""', b'"1')
        ),
        *((wrong, "invalid_if_match") for wrong in (b'"1", 2', b'"1",', b'"1"\x00', b'"\xff"', b'"\xd9\xa1"')),
        *((wrong, "invalid_if_match") for wrong in (b"'1' OR 1=1", b'"%s"' % table.HUGE.encode())),
    ],
)
def test_a_change_requires_the_current_revision(world: World, what: str, if_match: Any, code: str) -> None:
    """A missing If-Match gets 428, a stale one 412, a malformed one 400."""
    method, target, body = table.REVISED[what]
    with assert_unchanged(world):
        answer = world.send(method, target, body, {"if-match": if_match})
    refusal = problem(answer)
    assert (answer.status_code, refusal["code"], refusal["field"]) == (Code(code).status, code, "If-Match")
    if if_match is not None:
        assert refusal["value"].startswith(if_match.decode("latin-1")[:100])


@pytest.mark.parametrize("name", ["authorization", "idempotency-key", "if-match", "if-none-match", "content-type"])
def test_a_repeated_header_is_refused(world: World, name: str) -> None:
    """A header with two values is refused, because a proxy could use the other value."""
    headers = {"content-type": "application/json", "if-match": "*", "if-none-match": '"x"', **key()}
    headers["authorization"] = f"Bearer {world.token}"
    with assert_unchanged(world), world.http() as http:
        twice = [*headers.items(), (name, headers[name])]
        answer = http.patch(f"/v1/models/{MODEL}", content=b'{"description":"x"}', headers=twice)
    expected = (401, "unauthenticated", None) if name == "authorization" else (422, "invalid_request", name)
    refusal = problem(answer)
    assert (answer.status_code, refusal["code"], refusal.get("field")) == expected


def test_a_key_with_another_request_is_refused(world: World) -> None:
    """An idempotency key with another body, path or method gets 422."""
    used, fx = key(), {"tags": {"team": "fx"}, "reason": "now"}
    target = f"/v1/models/{MODEL}"
    assert world.send("PATCH", target, fx, used).status_code == 200
    with assert_unchanged(world):
        for method, address, body in [
            ("PATCH", target, {"tags": {"team": "other"}}),
            ("PATCH", target, b'{"tags": {"team":  "fx"}, "reason": "now"}'),
            ("PATCH", ONE, fx),
            ("POST", "/v1/models", {"name": "new", "type": "regression"}),
            ("DELETE", f"{target}/aliases/shadow", None),
        ]:
            refusal = problem(world.send(method, address, body, used))
            assert (refusal["status"], refusal["code"]) == (422, "idempotency_key_reused")
            assert refusal["field"] == "Idempotency-Key"
            assert refusal["value"] == used["idempotency-key"]
        assert world.send("PATCH", target, fx, used).status_code == 200


@pytest.mark.parametrize("kind", table.PATHS)
@pytest.mark.parametrize(
    "name",
    [
        *("%00", "a%00", "%01", "a%0d%0aX:%20y", "%E9", "%C3%A9", "%FF", "%ED%A0%80", "%F0%9F%98%80", "%E2%80%A4"),
        *("a%2F%2Fb", "%2e%2e", "..%2f..%2fetc", "%252e%252e", "a%5cb", "%20a", "a%20", "~root", "a;b", "a%3Fb", "a*"),
        *("'%20OR%201=1--", "x" * 3_000),
    ],
)
def test_a_name_in_the_address_is_validated(world: World, kind: str, name: str) -> None:
    """The server refuses an invalid name before any lookup, and the problem contains the name."""
    with assert_unchanged(world):
        for template in table.PATHS[kind]:
            answer = world.send("GET", template.format(name))
            refusal = problem(answer)
            assert answer.status_code in {404, 422}, refusal
            assert refusal["value"]
            assert not refusal["code"].endswith("_not_found"), "the server has looked the name up"


@pytest.mark.parametrize(
    "number",
    [
        *("0", "-1", str(2**31), str(2**63), "1" + "0" * 5_000, "01", "+1", "1_0", "%D9%A1", "1.0", "1e0", "x", "%00"),
        *("%201", ""),
    ],
)
def test_an_unknown_version_number_is_not_found(world: World, number: str) -> None:
    """A number that is too large or has another spelling gets 404."""
    with assert_unchanged(world):
        for method, rest, body in [
            ("GET", "", None),
            ("PATCH", "", {"description": "x"}),
            ("GET", "/manifest", None),
            ("GET", "/files/model.bin", None),
            ("POST", "/transition", {"to": "archived", "reason": "x"}),
            ("POST", "/tombstone", {"reason": "x"}),
        ]:
            answer = world.send(method, f"/v1/models/{MODEL}/versions/{number}{rest}", body)
            refusal = problem(answer)
            assert answer.status_code == 404 or (answer.status_code == 405 and number == "")
            assert refusal["field"] in {"version", "path", "method"}
            assert refusal["value"]


def with_one_text_changed(value: Any, wrong: str) -> Iterator[Any]:
    """Yield copies of a value, each with the wrong characters appended to another text or key."""
    match value:
        case str():
            yield value + wrong
        case list():
            for n, item in enumerate(value):
                yield from ([*value[:n], changed, *value[n + 1 :]] for changed in with_one_text_changed(item, wrong))
        case dict():
            for name, item in value.items():
                yield from (value | {name: changed} for changed in with_one_text_changed(item, wrong))
                yield {key + wrong * (key == name): inside for key, inside in value.items()}


@pytest.mark.parametrize("what", table.TEXTS)
@pytest.mark.parametrize("wrong", ["\x00", "\x1b[31m", "\x7f", "\x9b", "\ud800"])
def test_a_text_with_control_characters_is_refused(world: World, what: str, wrong: str) -> None:
    """The server refuses them before a query, because PostgreSQL cannot store NUL."""
    method, target, body = table.TEXTS[what]
    with assert_unchanged(world):
        for changed in with_one_text_changed(body, wrong):
            answer = world.send(method, target, changed)
            refusal = problem(answer)
            assert answer.status_code == (400 if wrong == "\ud800" else 422), changed
            assert refusal["field"]
            assert "value" in refusal


@pytest.mark.parametrize("wrong", ["%00", "a%00b", "%1B"])
@pytest.mark.parametrize(
    "parameter",
    [
        *("owner={}", "prefix={}", "tag={}=x", "tag=x={}", "page_token={}", "order={}", "type={}", "stage={}"),
        *("created_from={}", "created_before={}", "tombstoned={}", "limit={}", "{}=1"),
    ],
)
def test_a_parameter_with_control_characters_is_refused(world: World, parameter: str, wrong: str) -> None:
    """The rule applies to the values and the names of parameters."""
    with assert_unchanged(world):
        answer = world.send("GET", f"/v1/models?{parameter.format(wrong)}")
    assert answer.status_code == 422
    assert {"\x00", "\x1b"} & set(problem(answer)["value"])


@pytest.mark.parametrize(
    ("sha256", "content", "headers", "code", "field"),
    [
        ("0" * 64, b"weights", {}, "digest_mismatch", "sha256"),
        ("0" * 64, b"", {}, "digest_mismatch", "sha256"),
        (SHA256, CONTENT[:-1], {}, "digest_mismatch", "sha256"),
        (SHA256, CONTENT + b"!", {}, "digest_mismatch", "sha256"),
        (SHA256, b"x" * 3_000_000, {}, "digest_mismatch", "sha256"),
        (SHA256.upper(), CONTENT, {}, "invalid_digest", "sha256"),
        (SHA256[:-1], CONTENT, {}, "invalid_digest", "sha256"),
        (f"sha256:{SHA256}", CONTENT, {}, "invalid_digest", "sha256"),
        (SHA256, CONTENT, {"content-encoding": "gzip"}, "unsupported_media_type", "Content-Encoding"),
        (SHA256, CONTENT, {"idempotency-key": "short"}, "invalid_idempotency_key", "Idempotency-Key"),
        ("0" * 64, b"x", {"content-length": str(10 * 2**40)}, "too_large", "Content-Length"),
    ],
)
def test_bytes_that_differ_from_the_announcement_are_not_stored(  # noqa: PLR0917 - columns of a table
    world: World, sha256: str, content: bytes, headers: dict[str, str], code: str, field: str
) -> None:
    """Such an upload leaves no row, no file, and nothing in staging."""
    with assert_unchanged(world):
        answer = world.send("PUT", f"/v1/blobs/{sha256}", content, headers)
    refusal = problem(answer)
    assert (answer.status_code, refusal["code"], refusal["field"]) == (Code(code).status, code, field)
    assert refusal["value"]


def test_unusual_but_valid_input_is_accepted(world: World) -> None:
    """Brackets and quotes in texts, spaces around a body, a charset, escapes and long numbers are valid."""
    body = {
        "name": "looks-bad",
        "type": "regression",
        "description": '[[{"\\' * 1_000,
        "tags": {f"t{n}": "]" for n in range(64)},
        "metadata": {"number": int("9" * 30), "small": 5e-324, "text": "[" * 1_000},
    }
    content = b"\r\n\t " + json.dumps(body).encode().replace(b'"looks', b'"\\u006cooks') + b" \n"
    answer = world.send("POST", "/v1/models", content, {"content-type": 'Application/JSON; charset="UTF-8"'})
    assert answer.status_code == 201, answer.text
    assert {name: answer.json()[name] for name in body} == body
    pair = b'{"description":"\\ud83d\\ude02","reason":"now"}'
    laughing = world.send("PATCH", "/v1/models/looks-bad", pair).json()
    assert laughing["description"] == "\N{FACE WITH TEARS OF JOY}"


LARGE = [
    b"[" * 2**20,
    b'{"name":"%s"}' % (b"x" * 1_040_000),
    b'{"type":"%s"}' % (b"x" * 1_040_000),
    b'{"%s":1}' % (b"x" * 1_040_000),
    b'{"tags":{"%s":1}}' % (b"x" * 1_040_000),
    b'{"metadata":{"a":[%s[]]}}' % (b"[]," * 340_000),
    b'{"tags":{"a":%s}}' % (b"9" * 1_040_000),
    b'{"name":"n","type":"regression","tags":{%s}}' % b",".join(b'"%d":""' % n for n in range(90_000)),
    b'{"name":"n","type":"regression","tags":{%s}}' % b",".join(b'"%d":""' % n for n in range(14_000)),
    b'{"name":"n","type":"regression","metadata":{"a":"%s"}}' % (b"1," * 500_000),
    b'{"name":"n","type":"regression","metadata":{"a":"%s' % (b'\\"' * 500_000),
    b'{"description":"%s"}' % (b"\\u00e9" * 170_000),
]


@pytest.mark.parametrize("body", LARGE, ids=lambda body: body[:12].decode())
def test_the_refusal_of_a_large_body_is_small(world: World, body: bytes) -> None:
    """A body of a megabyte gets a short problem document within a second."""
    with assert_unchanged(world):
        began = time.process_time()
        answer = world.send("POST", "/v1/models", body)
        spent = time.process_time() - began
    assert answer.status_code in {400, 422}
    problem(answer)
    assert spent < 1


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["*", "v1", "production", SHA256, "a\x00", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def changed_body(draw: st.DrawFn, body: dict[str, Any]) -> Any:
    """Draw a valid body with a few changed fields and perhaps a missing one."""
    changed = dict(body)
    for name in draw(st.lists(st.sampled_from([*body, "other"]), min_size=1, max_size=3)):
        changed[name] = draw(VALUES)
    for name in draw(st.lists(st.sampled_from(list(body)), max_size=1)):
        del changed[name]
    return changed


@pytest.mark.parametrize("what", [*table.TEXTS, "a token"])
def test_no_body_causes_an_internal_error(world: World, what: str) -> None:
    """Any JSON in a write, with NaN and lone surrogates too, is accepted or gets a problem document."""
    writes = table.TEXTS | {"a token": ("POST", "/v1/principals/admin/tokens", {"valid_days": 7})}
    method, target, body = writes[what]
    if what == "grants":
        # A successful change must not remove the admin's rights; the body is read in the same way.
        target = "/v1/principals/nobody"

    @settings(max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(VALUES | changed_body(body))
    def check(sent: Any) -> None:
        with logged() as log:
            answer = world.send(method, target, json.dumps(sent).encode())
        assert log.failures == []
        if not answer.is_success:
            assert 400 <= answer.status_code < 500
            problem(answer)

    check()
