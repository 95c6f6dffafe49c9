"""Statuses, media types and headers of every operation are those of the OpenAPI document, for refusals too."""

import inspect
from collections.abc import Iterator

import pytest

from common_lib.rules.codes import Code
from registry_server.api import openapi, problems
from registry_server.domain import errors
from registry_server.domain.errors import RegistryError
from tests.contract.good_requests import GOOD, Served, served_world
from tests.security.route_rights import ROLLED
from tests.security.worlds import CONTENT, SHA256, assert_unchanged, problem


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Start one registry for this file; tests change copies of it."""
    with served_world() as found:
        yield found


def test_every_operation_responds_as_documented(served: Served) -> None:
    """Status and media type are documented, and the response has each documented header."""
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


def test_location_leads_to_the_created_entity(served: Served) -> None:
    """Each documented Location header is the path of the created entity."""
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


def test_a_401_names_the_authentication_scheme(served: Served) -> None:
    """Every operation that requires a token sends WWW-Authenticate with a 401."""
    with assert_unchanged(served.world):
        for operation in served.operations:
            if "security" in operation.described:
                answer = served.send(operation, anonymous=True)
                assert (answer.status_code, problem(answer)["code"]) == (401, "unauthenticated"), operation.name
                assert answer.headers["www-authenticate"] == 'Bearer realm="model-registry"'


def test_every_refusal_is_a_problem_with_the_id_of_its_request(served: Served) -> None:
    """The server replaces a malformed request id, and no two generated ids are equal."""
    wrong = [
        {"x_request_deadline_ms": "soon"},
        {"authorization": "Bearer a", "x_request_id": "a b"},
        {"x_request_id": "x" * 65, "x_request_deadline_ms": "-1"},
    ]
    seen = set()
    with assert_unchanged(served.world):
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


def reasons(kind: type[RegistryError]) -> Iterator[type[RegistryError]]:
    """Yield the leaf classes of an error class."""
    below = kind.__subclasses__()
    if not below:
        yield kind
    for direct in below:
        yield from reasons(direct)


def test_retry_after_is_sent_with_503_and_429(served: Served) -> None:
    """A 503, a 429 and a request that is still in flight have Retry-After."""
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


def test_range_responses_have_the_documented_headers(served: Served) -> None:
    """Responses with bytes have all range headers, and a 416 states the size of the file."""
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


def test_a_page_token_is_valid_only_for_its_list(served: Served) -> None:
    """A page token is refused for another order, another filter and another list."""
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
    with assert_unchanged(served.world):
        for own, token in given.items():
            for one, order in lists.items():
                same = one == own or (
                    order is not None and (one.partition("?")[0], order) == (own.partition("?")[0], lists[own])
                )
                answer = served.world.send("GET", f"{one}&page_token={token}")
                assert answer.status_code == (200 if same else 422), (own, one)
                assert same or problem(answer)["code"] == "invalid_page_token"


def test_the_openapi_document_is_built_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that requests the document in a loop causes only the work of sending its bytes."""
    with served.world.http() as http:
        first = http.get("/openapi.json")
        monkeypatch.setattr(openapi, "build", None)
        for method in ("GET", "HEAD", "GET"):
            again = http.request(method, "/openapi.json")
            assert (again.status_code, again.headers["etag"]) == (200, first.headers["etag"])
        assert again.content == first.content


def test_only_documented_addresses_need_no_token(served: Served) -> None:
    """The OpenAPI document needs no token either, and has an ETag."""
    public = {"/openapi.json"} | {one.path for one in served.operations if "security" not in one.described}
    assert public == {"/openapi.json", "/health/live", "/health/ready"}
    with served.world.http() as http:
        first = http.get("/openapi.json")
        assert first.headers["content-length"] == str(len(first.content))
        answer = http.get("/openapi.json", headers={"if-none-match": f"W/{first.headers['etag']}"})
        assert (answer.status_code, answer.content) == (304, b"")
        for path in public:
            assert http.get(path).status_code == 200
