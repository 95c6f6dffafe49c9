"""The server replays a response only for a caller that still has the right to send the request."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from common_lib import Grant, Role
from registry_server.testing import backend
from tests.security.route_rights import ALL, FILES, MODEL, ONE, ROLLED, Route, create_rolled_model
from tests.security.worlds import World, create_example_model, problem

ADMIN = Grant(role=Role.ADMIN, models="*")
# Grants of the caller after it has lost the right; with the first two it can still read the model.
LEFT: dict[str, list[Grant]] = {
    "a reader": [Grant(role=Role.ANALYSIS, models="*")],
    "an auditor": [Grant(role=Role.AUDITOR, models="*")],
    "an admin elsewhere": [Grant(role=Role.ADMIN, models="gbpusd-*")],
    "no grants": [],
}
# Requests whose body requires an additional right, and a role without only this right.
BY_BODY = [
    (Route("POST", ONE + "/transition", "", {"to": "archived", "reason": "old"}), Role.WORKBENCH),
    (Route("POST", ONE + "/transition", "", {"to": "production", "reason": "x"}, version=2), Role.WORKBENCH),
    (
        Route("POST", ONE + "/transition", "", {"to": "production", "reason": "x", "override": True}, version=2),
        Role.INTEGRATION,
    ),
]
WRITES = [
    Route("POST", "/v1/models", "", {"name": "eurusd-new", "type": "regression"}),
    Route("PATCH", "/v1/models/{name}", "", {"description": "changed", "reason": "now"}),
    Route("POST", "/v1/models/{name}/tombstone", "", {"reason": "gone"}),
    Route("POST", "/v1/models/{name}/versions", "", FILES),
    Route("PATCH", ONE, "", {"description": "changed", "reason": "now"}),
    Route("POST", ONE + "/transition", "", {"to": "staging", "reason": "ready"}),
    Route("POST", ONE + "/tombstone", "", {"reason": "gone"}, version=2),
    Route("POST", ONE + "/recall", "", {"reason": "it leaks"}),
    Route("POST", ONE + "/reinstate", "", {"reason": "it does not"}, version=3, name=ROLLED),
    Route("POST", "/v1/models/{name}/rollback", "", {"reason": "it fails"}, name=ROLLED),
    Route("POST", ONE + "/approvals", "", {"verdict": "approved", "reason": "sound"}),
    Route("PUT", "/v1/models/{name}/policy", "", {"rules": {"approvals": 1}, "reason": "four eyes"}),
    Route("PUT", "/v1/models/{name}/aliases/{alias}", "", {"version": 2, "reason": "now"}),
    Route("DELETE", "/v1/models/{name}/aliases/{alias}", "", query="?reason=now"),
    Route("POST", "/v1/principals", "", {"name": "newcomer", "kind": "human", "grants": [ALL]}),
    Route("PATCH", "/v1/principals/{name}", "", {"grants": [], "reason": "now"}, name="bystander"),
    Route("POST", "/v1/principals/{name}/tokens", "", {}, name="bystander"),
    Route("POST", "/v1/tokens/{token_id}/revoke", ""),
]


class Leaver:
    """A principal that loses its grants between two requests with one key."""

    def __init__(self, world: World) -> None:
        self.world = world
        with world.backend.registry() as admin:
            create_example_model(admin, MODEL)
            create_rolled_model(admin)
            admin.principals.create("leaver", "human", [ADMIN])
            admin.principals.create("bystander", "human", [])
            self._token = admin.principals.issue_token("leaver").secret
            self._other = admin.principals.issue_token("bystander").token.id

    def send(self, route: Route) -> httpx.Response:
        """Send a request, each time with the same key."""
        path = route.route.format(name=route.name, version=route.version, alias="shadow", token_id=self._other)
        headers = {"if-match": "*", "idempotency-key": "the-same-each-time"}
        with self.world.http(self._token) as http:
            return http.request(route.method, path + route.query, json=route.body, headers=headers)

    def replace_grants(self, grants: list[Grant]) -> None:
        """Replace the grants of the principal as an admin."""
        with self.world.backend.registry() as admin:
            admin.principals.update("leaver", grants, force=True, reason="test")


@pytest.fixture(scope="module")
def leaver() -> Iterator[Leaver]:
    """Provide one world for all tests of this file; tests change copies of it."""
    with backend() as application:
        found = Leaver(World(application))
        yield found
        found.world.close()


def repeatable_part(answer: httpx.Response) -> Any:
    """Return the parts of a response that a replay must repeat; the secret of a token is returned only once."""
    headers = {name: answer.headers.get(name) for name in ("etag", "location", "content-type")}
    body = answer.json() if answer.content else None
    return answer.status_code, headers, body | {"secret": None} if isinstance(body, dict) else body


def test_every_route_with_replays_is_covered(leaver: Leaver) -> None:
    """The list of this file contains every operation that requires an Idempotency-Key."""
    document = leaver.world.http().get("/openapi.json").json()
    keyed = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if any(one["name"] == "Idempotency-Key" and one["required"] for one in operation["parameters"])
    }
    assert keyed == {(route.method, route.route) for route in WRITES}


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("route", WRITES, ids=lambda route: f"{route.method} {route.route}")
def test_a_replay_requires_the_right(leaver: Leaver, route: Route, left: str) -> None:
    """Without the right a replay is refused like a new request; with the right again it returns the first response."""
    with leaver.world.copied():
        first = leaver.send(route)
        assert first.is_success, first.text
        leaver.replace_grants(LEFT[left])
        before = leaver.world.stored_state()
        refused = leaver.send(route)
        assert refused.status_code in {403, 404}
        assert problem(refused)["code"] in {"forbidden", "model_not_found"}
        assert leaver.world.stored_state() == before
        leaver.replace_grants([ADMIN])
        assert repeatable_part(leaver.send(route)) == repeatable_part(first)


@pytest.mark.parametrize(("route", "role"), BY_BODY, ids=lambda part: str(getattr(part, "body", part)))
def test_a_right_required_by_the_body_is_checked_at_each_replay(leaver: Leaver, route: Route, role: Role) -> None:
    """The right to stage does not allow a promotion, and the right to promote does not allow an override."""
    with leaver.world.copied():
        first = leaver.send(route)
        assert first.is_success, first.text
        leaver.replace_grants([Grant(role=role, models="*")])
        assert problem(leaver.send(route))["code"] == "forbidden"
        leaver.replace_grants([ADMIN])
        assert repeatable_part(leaver.send(route)) == repeatable_part(first)


def test_the_model_in_the_body_is_checked_at_each_replay(leaver: Leaver) -> None:
    """A caller with rights on other models only learns neither that the model exists nor the response."""
    route = WRITES[0]
    with leaver.world.copied():
        assert leaver.send(route).status_code == 201
        leaver.replace_grants([Grant(role=Role.WORKBENCH, models="gbpusd-*")])
        assert problem(leaver.send(route))["code"] == "model_not_found"
        leaver.replace_grants([Grant(role=Role.WORKBENCH, models="gbpusd-*"), Grant(role=Role.ANALYSIS, models="*")])
        assert problem(leaver.send(route))["code"] == "forbidden"
