"""Every route for every role: requests that the table does not allow are refused and change nothing."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from common_lib import Role
from registry_server.core import rights
from tests.security.route_rights import (
    ALLOWED,
    BLOBLESS,
    COLUMNS,
    FORBIDDEN,
    MODEL,
    NO_HUMAN,
    ONE,
    READ,
    ROLLED,
    ROUTES,
    STATUS,
    UNKNOWN,
    UNSEEN,
    Guarded,
    Route,
    guarded_world,
)
from tests.security.worlds import key, problem


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """Start one registry for this file; tests change copies of it."""
    with guarded_world() as found:
        yield found


@pytest.mark.parametrize(("column", "status"), [("integration", 410), ("auditor", 200), ("admin", 200)])
def test_only_auditors_read_the_bytes_of_a_recalled_version(guarded: Guarded, column: str, status: int) -> None:
    """Only principals with the right to read the event log can read recalled bytes; others get 410."""
    answer = guarded.send(Route("GET", ONE + "/files/{path}", READ, version=3, name=ROLLED), column)
    assert answer.status_code == status
    assert status == 200 or problem(answer)["code"] == "version_recalled"
    assert guarded.send(Route("GET", ONE + "/manifest", READ, version=3, name=ROLLED), column).status_code == 200


def test_every_route_is_in_the_table(guarded: Guarded) -> None:
    """A new route without an entry fails this test, and the roles of the table are those of the server."""
    served = {
        (method, route.path_format)
        for route in guarded.world.backend._app.routes
        for method in route.methods  # type: ignore[union-attr]
        if method != "OPTIONS"
    }
    assert served == {(route.method, route.route) for route in ROUTES}
    assert {str(role) for role in rights.ROLES} == set(map(str, Role)) < set(COLUMNS)
    assert all(len(route.allowed.split()) == len(COLUMNS) for route in ROUTES)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.route} {route.body or ''}"[:70])
def test_a_principal_can_do_what_its_role_allows_and_nothing_else(guarded: Guarded, route: Route, column: str) -> None:
    """A refusal changes no row and no file, and an allowed change creates one event."""
    expected = route.allowed.split()[COLUMNS.index(column)]
    with guarded.world.copied():
        before = guarded.world.stored_state()
        answer = guarded.send(route, column)
        after = guarded.world.stored_state()
    if expected == ALLOWED:
        assert answer.is_success, answer.text
        events = after["rows"]["events"] - before["rows"]["events"]
        assert events == (route.method != "GET" and route.has_event)
        return
    assert answer.status_code == STATUS[expected], answer.text
    refusal = problem(answer)
    assert after == before
    if expected == UNKNOWN:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    if expected in {UNSEEN, BLOBLESS}:
        assert refusal["code"] == {UNSEEN: "model_not_found", BLOBLESS: "blob_not_found"}[expected]
    if expected == FORBIDDEN:
        assert refusal["field"] == "right"
    if expected == NO_HUMAN:
        assert refusal["code"] == "human_required"


def test_a_hidden_model_cannot_be_distinguished_from_a_missing_one(guarded: Guarded) -> None:
    """Status, code and text are the same for a hidden model and a missing one, on every route."""

    def refuse(route: Route) -> dict[str, Any]:
        answer = problem(guarded.send(route, "elsewhere"))
        return {name: text for name, text in answer.items() if name != "request_id"}

    for route in ROUTES:
        if "{name}" in route.route and route.name == MODEL:
            hidden, missing = refuse(route), refuse(route._replace(name="eurusd-absence"))
            assert hidden["detail"].replace(MODEL, "eurusd-absence") == missing["detail"]
            assert hidden | {"detail": "", "value": ""} == missing | {"detail": "", "value": ""}


def test_a_list_contains_only_readable_models(guarded: Guarded) -> None:
    """The list of models depends on the grants of the caller, and each principal can read its own entry."""
    listing = next(route for route in ROUTES if route.route == "/v1/models")
    assert [len(guarded.send(listing, column).json()["items"]) for column in ("analysis", "elsewhere")] == [2, 0]
    itself = Route("GET", "/v1/principals/{name}", "", name="analysis")
    assert guarded.send(itself, "analysis").json()["name"] == "analysis"


def test_the_method_cannot_be_overridden(guarded: Guarded) -> None:
    """The server ignores or refuses headers and parameters that would override the method."""
    before = guarded.world.stored_state()
    path = f"/v1/models/{MODEL}/aliases/shadow"
    with guarded.world.http(guarded.world.token) as http:
        for name in ("x-http-method-override", "x-http-method", "x-method-override"):
            headers = {name: "DELETE", "if-match": "*", **key()}
            assert http.get(path, headers=headers).status_code == 200
            answer = http.post(path, headers=headers)
            assert answer.status_code == 405
            assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}
            assert problem(answer)["value"] == "POST"
        assert http.get(path, params={"_method": "DELETE"}, headers=key()).status_code == 422
    assert guarded.world.stored_state() == before


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND"])
def test_unknown_methods_are_refused(guarded: Guarded, method: str) -> None:
    """An unknown method gets 405 with the allowed methods, with a token and without."""
    before = guarded.world.stored_state()
    for token in (None, guarded.world.token):
        with guarded.world.http(token) as http:
            for path in ("/v1/models", f"/v1/models/{MODEL}"):
                answer = http.request(method, path)
                assert answer.status_code == 405
                assert "GET" in answer.headers["allow"]
    assert guarded.world.stored_state() == before


def test_options_returns_methods_without_cors_headers(guarded: Guarded) -> None:
    """OPTIONS needs no token, and no response allows another origin."""
    with guarded.world.http() as http:
        for path in ("/v1/models", f"/v1/models/{MODEL}", "/v1/models/absent", "/v1/tokens"):
            answer = http.options(path, headers={"origin": "https://elsewhere.example"})
            assert (answer.status_code, answer.content) == (204, b"")
            assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_documentation_pages_of_the_framework_are_disabled(guarded: Guarded) -> None:
    """These pages would load scripts from other hosts into a browser."""
    with guarded.world.http() as http:
        for path in ("/schema", "/schema/redoc", "/schema/swagger", "/-", "/-/openapi.json", "/docs", "/redoc"):
            answer = http.get(path)
            assert answer.status_code == 404
            assert problem(answer)["value"] == path


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/",
        "/v1//models",
        "//v1/models",
        f"/v1/models/{MODEL}/",
        f"/v1/models//{MODEL}",
        "/v1/models//versions",
    ],
)
def test_an_address_has_one_spelling(guarded: Guarded, path: str) -> None:
    """A path with an additional slash gets 404, because an empty name must not lead to another route."""
    with guarded.world.http(guarded.world.token) as http:
        answer = http.get(httpx.URL("http://registry.test").copy_with(raw_path=path.encode()))
    assert answer.status_code == 404
    refusal = problem(answer)
    assert (refusal["code"], refusal["field"], refusal["value"]) == ("not_found", "path", path)
