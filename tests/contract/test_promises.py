"""Each route × each header that it promises, generated from the OpenAPI document, is kept in successes and refusals."""

import functools
import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from common_lib.rules.codes import Code
from registry_server.api import openapi, problems
from registry_server.domain import errors
from registry_server.domain.errors import RegistryError
from registry_server.testing import backend
from tests.security.test_rights import FILES, ONE, PENDING, ROLLED, rolled
from tests.security.worlds import CONTENT, MODEL, SHA256, World, furnished, key, nothing_happens, problem

BLOBS = bytes.fromhex(SHA256) + len(CONTENT).to_bytes(8) + CONTENT
BYTES = {"content-type": "application/octet-stream", "x-prefix-sha256": SHA256}


class Good(NamedTuple):
    """A request that succeeds: what is sent, where, and whose ETag it is based on."""

    body: Any = None
    name: str = MODEL
    version: int = 1
    query: str = ""
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    base: str = ""


VERSION = ONE.format(name=MODEL, version=1)
# By the name of the operation; what reads needs no entry.
GOOD: dict[str, Good] = {
    "create_model": Good({"name": "eurusd-new", "type": "regression"}),
    "update_model": Good({"description": "changed", "reason": "now"}, base=f"/v1/models/{MODEL}"),
    "tombstone_model": Good({"reason": "gone"}, base=f"/v1/models/{MODEL}"),
    "create_version": Good(FILES),
    "update_version": Good({"description": "changed", "reason": "now"}, base=VERSION),
    "transition_version": Good({"to": "staging", "reason": "ready"}, base=VERSION),
    "tombstone_version": Good({"reason": "gone"}, version=2, base=ONE.format(name=MODEL, version=2)),
    "recall_version": Good({"reason": "it leaks"}, base=VERSION),
    "reinstate_version": Good({"reason": "no"}, ROLLED, 3, base=ONE.format(name=ROLLED, version=3)),
    "roll_back_model": Good(
        {"reason": "it fails", "replacing": 2}, ROLLED, base=f"/v1/models/{ROLLED}/resolve/production"
    ),
    "decide_version": Good({"verdict": "approved", "reason": "sound"}, ROLLED),
    "set_policy": Good({"rules": {"approvals": 1}, "reason": "four eyes"}, base=f"/v1/models/{MODEL}/policy"),
    "set_alias": Good({"version": 2, "reason": "now"}, base=f"/v1/models/{MODEL}/aliases/shadow"),
    "delete_alias": Good(query="?reason=now", base=f"/v1/models/{MODEL}/aliases/shadow"),
    "put_blob": Good(CONTENT, headers=BYTES),
    "put_blobs": Good(BLOBS, headers={"content-type": "application/vnd.model-registry.blobs"}),
    "check_presence": Good({"sha256": [SHA256]}),
    "verify_blob": Good(),
    "begin_upload": Good({"size": len(CONTENT) + 1}),
    "put_part": Good(CONTENT, headers=BYTES),
    "delete_upload": Good(),
    "collect_garbage": Good({"dry_run": True}),
    "create_principal": Good({"name": "newcomer", "kind": "human", "grants": []}),
    "update_principal": Good(
        {"grants": [{"role": "analysis", "models": "*"}], "reason": "now"}, "bystander", base="/v1/principals/bystander"
    ),
    "issue_token": Good({}, "bystander"),
    "revoke_token": Good(),
    "get_principal": Good(name="bystander"),
    "resolve_version": Good(name=ROLLED),
    "get_production": Good(name=ROLLED),
}
# A rollback says by `replacing` what it is based on; its If-Match is one more condition, if it is sent.
OPTIONAL = {"roll_back_model"}


class Operation(NamedTuple):
    """An operation of the document."""

    method: str
    path: str
    described: dict[str, Any]

    @property
    def name(self) -> str:
        """The id of the operation in the document."""
        return str(self.described["operationId"])

    def takes(self, header: str) -> bool:
        """Return whether it names that header."""
        return any((one["in"], one["name"]) == ("header", header) for one in self.described["parameters"])

    def requires(self, header: str) -> bool:
        """Return whether it cannot do without that header."""
        return any(one["name"] == header and one["required"] for one in self.described["parameters"])


class Served:
    """A world in which each operation has a request that succeeds."""

    def __init__(self, world: World) -> None:
        self.world = world
        with world.backend.registry() as admin:
            furnished(admin, MODEL)
            rolled(admin)
            admin.principals.create("bystander", "human", [])
            self.token_id = admin.principals.issue_token("bystander").token.id
            judge = {"role": "admin", "models": "*"}
            world.send("POST", "/v1/principals", {"name": "judge", "kind": "human", "grants": [judge]})
            self.judge = admin.principals.issue_token("judge").secret or ""
        with world.http(self.judge) as http:
            http.put(f"/v1/uploads/{PENDING}", json={"size": len(CONTENT) + 1}).raise_for_status()

    @functools.cached_property
    def operations(self) -> list[Operation]:
        """Every operation there is."""
        with self.world.http() as http:
            paths = http.get("/openapi.json").json()["paths"]
        return [Operation(m.upper(), path, one) for path, methods in paths.items() for m, one in methods.items()]

    def send(self, operation: Operation, *, body: Any = None, anonymous: bool = False, **headers: str | None) -> Any:
        """Its good request, with other headers; one that is None is left out."""
        good = GOOD.get(operation.name, Good())
        sha256 = PENDING if "uploads" in operation.path else SHA256
        places = {"alias": "shadow", "selector": "production", "other": 2, "path": "model.bin", "start": 0}
        path = operation.path.format(
            name=good.name, version=good.version, sha256=sha256, token_id=self.token_id, **places
        )
        given = {"content-type": "application/json"} if good.body is not None else {}
        given |= good.headers | ({"if-match": "*"} | key() if operation.method != "GET" else {})
        others = {name.replace("_", "-"): value for name, value in headers.items()}
        present = {name: value for name, value in (given | others).items() if value is not None}
        content = good.body if body is None else body
        with self.world.http(None if anonymous else self.judge) as http:
            if content is not None and not isinstance(content, bytes):
                content = msgspec.json.encode(content)
            return http.request(operation.method, path + good.query, content=content, headers=present)

    def etag(self, operation: Operation) -> str:
        """Return the ETag that a change is based on."""
        answer = self.world.send("GET", GOOD[operation.name].base)
        assert answer.status_code in {200, 410}, answer.text
        return str(answer.headers["etag"])


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """One world for all of this file; tests change copies of it."""
    with backend() as application:
        found = Served(World(application))
        yield found
        found.world.close()


def test_every_request_of_this_table_succeeds_as_documented(served: Served) -> None:
    """Its status is documented, its media type too, and each header that is promised for it is there."""
    assert set(GOOD) <= {operation.name for operation in served.operations}
    for operation in served.operations:
        with served.world.copied():
            answer = served.send(operation, x_request_id="it.is-Mine_7")
        described = operation.described["responses"].get(str(answer.status_code))
        assert described is not None, (operation.name, answer.text)
        assert answer.is_success
        for header in described["headers"]:
            assert answer.headers[header], (operation.name, header)
        assert answer.headers["x-request-id"] == "it.is-Mine_7"
        media_types = set(described.get("content", {}))
        assert media_types == {answer.headers.get("content-type", "").partition(";")[0]} - {""}, operation.name
        assert ("content-length" in answer.headers) == (answer.status_code != 204), operation.name


def test_what_was_created_is_at_its_location(served: Served) -> None:
    """Wherever 201 promises one."""
    promised = [
        one
        for one in served.operations
        if "Location" in one.described["responses"].get("201", {"headers": ()})["headers"]
    ]
    assert {one.name for one in promised} == {"create_model", "create_version", "create_principal"}
    for operation in promised:
        with served.world.copied():
            made = served.send(operation)
            found = served.world.send("GET", made.headers["location"])
            assert (found.json(), found.headers["etag"]) == (made.json(), made.headers["etag"])


def test_who_is_not_known_is_told_how_to_be(served: Served) -> None:
    """WWW-Authenticate on each 401, on each operation that asks for a token; no body is needed for it."""
    with nothing_happens(served.world):
        for operation in served.operations:
            if "security" in operation.described:
                answer = served.send(operation, anonymous=True)
                assert (answer.status_code, problem(answer)["code"]) == (401, "unauthenticated"), operation.name
                assert answer.headers["www-authenticate"] == 'Bearer realm="model-registry"'


def test_every_refusal_is_a_problem_with_the_id_of_its_request(served: Served) -> None:
    """On each operation, whatever is wrong; an id that is malformed is replaced, and none is made up twice."""
    wrong = [
        {"x_request_deadline_ms": "soon"},
        {"authorization": "Bearer a", "x_request_id": "a b"},
        {"x_request_id": "x" * 65, "x_request_deadline_ms": "-1"},
    ]
    seen = set()
    with nothing_happens(served.world):
        for operation in served.operations:
            for headers in wrong:
                if "security" not in operation.described and "authorization" in headers:
                    continue
                answer = served.send(operation, **headers)
                assert answer.status_code in {401, 422}, operation.name
                seen.add(problem(answer)["request_id"])
            assert (
                served.send(operation, x_request_id="mine", x_request_deadline_ms="x").headers["x-request-id"] == "mine"
            )
        for method, path in (
            ("GET", "/v1/nothing"),
            ("GET", "/v1//models"),
            ("BREW", "/v1/models"),
            ("PUT", "/metrics"),
        ):
            answer = served.world.send(method, path, None, {"x-request-id": "mine"})
            assert (answer.status_code in {404, 405}, problem(answer)["request_id"]) == (True, "mine")
    assert len(seen) >= 2 * len(served.operations)


def test_what_one_has_is_not_sent_again(served: Served) -> None:
    """304 wherever it is documented: for the ETag, also as a weak one, among others, and for any; with the ETag."""
    tagged = [one for one in served.operations if "304" in one.described["responses"]]
    assert len(tagged) >= 8
    for operation in tagged:
        etag = served.send(operation).headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", W/{etag}', f'{etag},"other"', "*"):
            answer = served.send(operation, if_none_match=known)
            assert (answer.status_code, answer.content) == (304, b""), (operation.name, known)
            assert answer.headers["etag"] == etag
            assert "content-type" not in answer.headers
        for other in ('"other"', 'W/"other"', etag.strip('"'), etag[:-1], '""'):
            assert served.send(operation, if_none_match=other).status_code == 200, (operation.name, other)
    others = [one for one in served.operations if one.method == "GET" and one not in tagged]
    for operation in others:
        assert "etag" not in served.send(operation).headers, operation.name


def conditional(served: Served) -> list[Operation]:
    """Return the operations that document If-Match."""
    found = [one for one in served.operations if one.takes("If-Match")]
    assert {one.name for one in found} == {name for name, good in GOOD.items() if good.base}
    return found


def test_a_change_is_made_only_to_what_the_caller_saw(served: Served) -> None:
    """412 for a stale ETag, a weak one, and one of the future; 428 for none; 400 for what is not an ETag of ours."""
    with nothing_happens(served.world):
        for operation in conditional(served):
            revision = int(served.etag(operation).strip('"').partition(".")[0])
            stale = [
                f'"{revision + 1}"',
                f'"{revision + 1}.0.0"',
                f'"{10**9}"',
                f'W/"{revision}"',
                f"W/{served.etag(operation)}",
            ]
            stale += [f'"{revision - 1}"'] if revision > 1 else []
            stale += [f'"{revision + 1}", W/"{revision}"']
            for etag in stale:
                answer = served.send(operation, if_match=etag)
                refusal = problem(answer)
                assert (answer.status_code, refusal["code"]) == (412, "revision_mismatch"), (operation.name, etag)
                assert (refusal["field"], refusal["value"]) == ("If-Match", etag)
            for etag in (
                f"{revision}",
                "'1'",
                '"x"',
                f'"{revision}',
                '"0"',
                '"-1"',
                f'"{10**10}"',
                f'"{revision}"x',
                '""',
                "**",
            ):
                answer = served.send(operation, if_match=etag)
                assert (answer.status_code, problem(answer)["code"]) == (400, "invalid_if_match"), (
                    operation.name,
                    etag,
                )
            if operation.name not in OPTIONAL:
                answer = served.send(operation, if_match=None)
                assert (answer.status_code, problem(answer)["code"]) == (428, "revision_required"), operation.name


def test_the_right_etag_lets_a_change_through(served: Served) -> None:
    """Whole, only its revision, or among others."""
    for operation in conditional(served):
        etag = served.etag(operation)
        revision = etag.strip('"').partition(".")[0]
        for sent in (etag, f'"{revision}"', f'"999", {etag}', f'{etag},W/"1"'):
            with served.world.copied():
                answer = served.send(operation, if_match=sent)
                assert answer.is_success, (operation.name, sent, answer.text)
                again = served.send(operation, if_match=sent)
                # It is another revision now, or gone, or where it should be already.
                assert again.status_code in {404, 409, 412, 422}, (operation.name, again.text)


def test_a_forced_change_needs_a_reason(served: Served) -> None:
    """`*` does not lead around it."""
    with nothing_happens(served.world):
        for operation in conditional(served):
            body = GOOD[operation.name].body
            if body is None:
                path = GOOD[operation.name].base
                answer = served.world.send("DELETE", path)
            else:
                for reason in ("", " \n"):
                    answer = served.send(operation, body=body | {"reason": reason}, if_match="*")
            assert (answer.status_code, problem(answer)["code"]) == (422, "reason_required"), operation.name


def test_a_key_makes_a_change_once(served: Served) -> None:
    """Without one nothing is changed; with the same one the answer is the first, and another request is refused."""
    keyed = [one for one in served.operations if one.requires("Idempotency-Key")]
    assert len(keyed) >= 18
    for operation in keyed:
        with served.world.copied():
            before = served.world.kept()
            missing = served.send(operation, idempotency_key=None)
            assert (missing.status_code, problem(missing)["code"]) == (400, "idempotency_key_required"), operation.name
            assert served.world.kept() == before
            first, again = (served.send(operation, idempotency_key="the-same-twice") for _ in range(2))
            assert first.is_success, first.text
            assert repeated_part(again) == repeated_part(first), operation.name
            other = served.world.send(
                "POST", "/v1/models", {"name": "x", "type": "regression"}, {"idempotency-key": "the-same-twice"}
            )
            # Another principal's keys are its own.
            assert other.status_code == 201


def repeated_part(answer: httpx.Response) -> Any:
    """Return the part of an answer that a repetition must give again; a secret is shown once."""
    headers = {name: answer.headers.get(name) for name in ("etag", "location", "content-type")}
    body = answer.json() if answer.content else None
    return answer.status_code, headers, body | {"secret": None} if isinstance(body, dict) else body


def reasons(kind: type[RegistryError]) -> Iterator[type[RegistryError]]:
    """Yield the errors that are raised with a code of their own: groups are not, and broken rules have the rule's."""
    below = kind.__subclasses__()
    if not below and kind is not errors.RuleBroken:
        yield kind
    for direct in below:
        yield from reasons(direct)


def test_who_must_come_again_is_told_when(served: Served) -> None:
    """Retry-After on each 503, 429, and request that is still at work."""
    for kind in reasons(RegistryError):
        again = kind.code.status in {429, 503} or kind.code is Code.REQUEST_IN_FLIGHT
        assert (kind.retry_after_s is not None or "wait_s" in inspect.signature(kind).parameters) == again, kind
    for error in (errors.RequestInFlight("k"), errors.WriteRateExceeded("judge", 0.2), errors.DatabaseClosed()):
        assert int(problems.answer(error, "id").headers["retry-after"]) >= 1
    assert "retry-after" not in problems.answer(errors.ModelNotFound("x"), "id").headers
    keyed = [one for one in served.operations if one.requires("Idempotency-Key")]
    in_flight = served.world.backend.env.in_flight
    in_flight.add(("judge", "still-at-work"))
    try:
        for operation in keyed:
            answer = served.send(operation, idempotency_key="still-at-work")
            assert (answer.status_code, problem(answer)["code"]) == (409, "request_in_flight"), operation.name
            assert int(answer.headers["retry-after"]) >= 1
    finally:
        in_flight.discard(("judge", "still-at-work"))


def test_ranges_are_what_they_promise(served: Served) -> None:
    """Accept-Ranges, Content-Range, ETag and Cache-Control on each answer with bytes, and the size on a refusal."""
    (operation,) = (one for one in served.operations if one.name == "get_file")
    size = len(CONTENT)
    for wanted, status, part, content in (
        (None, 200, None, CONTENT),
        ("bytes=2-4", 206, f"bytes 2-4/{size}", CONTENT[2:5]),
        ("bytes=2-", 206, f"bytes 2-{size - 1}/{size}", CONTENT[2:]),
        ("bytes=-3", 206, f"bytes {size - 3}-{size - 1}/{size}", CONTENT[-3:]),
        ("bytes=0-99", 200, None, CONTENT),
        ("bytes=4-2", 200, None, CONTENT),
        ("lines=1-2", 200, None, CONTENT),
        ("bytes=0-1,3-4", 200, None, CONTENT),
    ):
        answer = served.send(operation, range=wanted)
        assert (answer.status_code, answer.headers.get("content-range"), answer.content) == (status, part, content), (
            wanted
        )
        assert answer.headers["etag"] == f'"{SHA256}"'
        assert answer.headers["accept-ranges"] == "bytes"
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-length"] == str(len(content))
    for wanted in (f"bytes={size}-", "bytes=-0", "bytes=99-100"):
        answer = served.send(operation, range=wanted)
        assert (answer.status_code, problem(answer)["code"]) == (416, "range_not_satisfiable")
        assert answer.headers["content-range"] == f"bytes */{size}"


def test_a_page_token_belongs_to_the_list_that_gave_it(served: Served) -> None:
    """On each list: with another order, another filter, or on another list it is refused."""
    listing = [one for one in served.operations if any(p["name"] == "page_token" for p in one.described["parameters"])]
    assert len(listing) >= 5
    filters = {"type": "regression", "stage": "staging", "tag": "team=fx", "owner": "admin", "prefix": "eur"}
    filters |= {"created_from": "2026-01-01T00:00:00Z", "created_before": "2999-01-01T00:00:00Z", "tombstoned": "true"}
    lists = {}
    for operation in listing:
        path = operation.path.format(name=ROLLED)
        names = {p["name"]: p["schema"] for p in operation.described["parameters"] if p["in"] == "query"}
        lists[f"{path}?limit=1"] = names.get("order", {}).get("default")
        for order in names.get("order", {}).get("enum", ()):
            lists[f"{path}?limit=1&order={order}"] = order
        for name in filters.keys() & names.keys():
            lists[f"{path}?limit=1&{name}={filters[name]}"] = None
    tokens = {one: served.world.send("GET", one).json()["next_page_token"] for one in lists}
    given = {one: token for one, token in tokens.items() if token}
    assert len(given) >= 15
    with nothing_happens(served.world):
        for own, token in given.items():
            for one, order in lists.items():
                same = one == own or (
                    order is not None and (one.partition("?")[0], order) == (own.partition("?")[0], lists[own])
                )
                answer = served.world.send("GET", f"{one}&page_token={token}")
                assert answer.status_code == (200 if same else 422), (own, one)
                assert same or problem(answer)["code"] == "invalid_page_token"


def test_the_document_is_made_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that requests it in a loop, without a token, costs no more than sending its bytes."""
    with served.world.http() as http:
        first = http.get("/openapi.json")
        monkeypatch.setattr(openapi, "build", None)
        for method in ("GET", "HEAD", "GET"):
            again = http.request(method, "/openapi.json")
            assert (again.status_code, again.headers["etag"]) == (200, first.headers["etag"])
        assert again.content == first.content


def test_only_what_is_documented_is_answered_without_a_token(served: Served) -> None:
    """And the document itself, once made, is known by its ETag."""
    public = {"/openapi.json"} | {one.path for one in served.operations if "security" not in one.described}
    assert public == {"/openapi.json", "/health/live", "/health/ready"}
    with served.world.http() as http:
        first = http.get("/openapi.json")
        assert first.headers["content-length"] == str(len(first.content))
        answer = http.get("/openapi.json", headers={"if-none-match": f"W/{first.headers['etag']}"})
        assert (answer.status_code, answer.content) == (304, b"")
        for path in public:
            assert http.get(path).status_code == 200
