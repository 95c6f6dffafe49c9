"""Every route × every role: what the table does not allow is refused and leaves no trace."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import pytest

from common_lib import Grant, ModelRegistry, Role
from registry_server.core import rights
from registry_server.testing import backend
from tests.security.worlds import CONTENT, MODEL, SHA256, World, furnished, key, logged, problem
from tests.support.steps import promoted, version_of

COLUMNS = (
    "nobody",
    *(str(role) for role in Role),
    "elsewhere",  # all that an admin may, but on other models only
    "patterned",  # the same on eurusd-* only
)
ALLOWED, FORBIDDEN, UNSEEN, BLOBLESS, UNKNOWN, NO_HUMAN = ".", "F", "N", "B", "U", "S"
STATUS = {FORBIDDEN: 403, UNSEEN: 404, BLOBLESS: 404, UNKNOWN: 401, NO_HUMAN: 403}
HUMANS = ("integration", "admin")

# The columns:  nobody workbench integration analysis strategy auditor admin elsewhere patterned
PUBLIC = ". . . . . . . . ."
ANYBODY = "U . . . . . . . ."
READ = "U . . . . . . N ."
LOG = "U F F F F . . F F"
ADMIN = "U F F F F F . F F"
REGISTER = "U . F F F F . N ."
EDIT = "U . . F F F . N ."
STAGE = EDIT
DECIDE = "U F . F F F . N ."
GOVERN = "U F F F F F . N ."
# The integration and the admin of this table are humans, the others are services.
APPROVE = "U F . F F F . N S"
UPLOAD = "U . F F F F . . ."
# Bytes that no model of one's own names are not there.
BYTES = "U . F F F F . B ."
VERIFY = "U . . . . . . B ."

FILES = {"files": [{"path": "model.bin", "size": len(CONTENT), "sha256": SHA256}], "framework": "test"}
ALL = {"role": "admin", "models": "*"}
ONE = "/v1/models/{name}/versions/{version}"
# A model with two versions that were in production, and a third that is recalled.
ROLLED = "eurusd-rolled"
# Bytes of which some are still to come.
PENDING = hashlib.sha256(CONTENT + b"!").hexdigest()


class Route(NamedTuple):
    """One request to a route, and who may make it."""

    method: str
    route: str
    allowed: str
    body: Any = None
    version: int = 1
    name: str = MODEL
    told: bool = True  # by an event, if it is a change
    query: str = ""


ROUTES = [
    Route("GET", "/health/live", PUBLIC),
    Route("GET", "/health/ready", PUBLIC),
    Route("GET", "/openapi.json", PUBLIC),
    Route("GET", "/metrics", LOG),
    Route("GET", "/v1/whoami", ANYBODY),
    Route("GET", "/v1/models", ANYBODY),
    Route("POST", "/v1/models", REGISTER, {"name": "eurusd-new", "type": "regression"}),
    Route("GET", "/v1/models/{name}", READ),
    Route("PATCH", "/v1/models/{name}", EDIT, {"description": "changed", "reason": "now"}),
    Route("POST", "/v1/models/{name}/tombstone", DECIDE, {"reason": "gone"}),
    Route("GET", "/v1/models/{name}/versions", READ),
    Route("POST", "/v1/models/{name}/versions", REGISTER, FILES),
    Route("GET", ONE, READ),
    Route("PATCH", ONE, EDIT, {"description": "changed", "reason": "now"}),
    Route("GET", ONE + "/manifest", READ),
    Route("POST", ONE + "/transition", STAGE, {"to": "staging", "reason": "ready"}),
    Route("POST", ONE + "/transition", DECIDE, {"to": "archived", "reason": "old"}),
    Route("POST", ONE + "/transition", DECIDE, {"to": "production", "reason": "better"}, version=2),
    Route("POST", ONE + "/tombstone", DECIDE, {"reason": "gone"}, version=2),
    Route("GET", ONE + "/files/{path}", READ),
    Route("GET", "/v1/models/{name}/resolve/{selector}", READ),
    Route("POST", ONE + "/transition", GOVERN, {"to": "production", "reason": "now", "override": True}, version=2),
    Route("POST", ONE + "/recall", DECIDE, {"reason": "it leaks"}),
    Route("POST", ONE + "/reinstate", DECIDE, {"reason": "it does not"}, version=3, name=ROLLED),
    Route("POST", "/v1/models/{name}/rollback", DECIDE, {"reason": "it fails"}, name=ROLLED),
    Route("GET", ONE + "/check", READ),
    Route("GET", ONE + "/approvals", READ),
    Route("POST", ONE + "/approvals", APPROVE, {"verdict": "approved", "reason": "sound"}),
    Route("POST", ONE + "/approvals", APPROVE, {"verdict": "refused", "reason": "unsound"}),
    Route("GET", ONE + "/diff/{other}", READ),
    Route("GET", "/v1/models/{name}/production", READ),
    Route("GET", "/v1/models/{name}/history", READ),
    Route("GET", "/v1/models/{name}/policy", READ),
    Route("PUT", "/v1/models/{name}/policy", GOVERN, {"rules": {"approvals": 1}, "reason": "four eyes"}),
    Route("GET", "/v1/models/{name}/aliases", READ),
    Route("GET", "/v1/models/{name}/aliases/{alias}", READ),
    Route("PUT", "/v1/models/{name}/aliases/{alias}", DECIDE, {"version": 2, "reason": "now"}),
    Route("DELETE", "/v1/models/{name}/aliases/{alias}", DECIDE, query="?reason=now"),
    Route("GET", "/v1/blobs/{sha256}", BYTES),
    Route("PUT", "/v1/blobs/{sha256}", UPLOAD, CONTENT, told=False),
    Route("POST", "/v1/blobs", UPLOAD, bytes.fromhex(SHA256) + len(CONTENT).to_bytes(8) + CONTENT, told=False),
    Route("POST", "/v1/presence", UPLOAD, {"sha256": [SHA256]}, told=False),
    Route("POST", "/v1/blobs/{sha256}/verify", VERIFY, {}, told=False),
    Route("PUT", "/v1/uploads/{sha256}", UPLOAD, {"size": len(CONTENT) + 1}, told=False),
    Route("GET", "/v1/uploads/{sha256}", UPLOAD),
    Route("PUT", "/v1/uploads/{sha256}/parts/{start}", UPLOAD, CONTENT, told=False),
    Route("DELETE", "/v1/uploads/{sha256}", UPLOAD, told=False),
    Route("POST", "/v1/collection", ADMIN, {"grace_s": 0}, told=False),
    Route("GET", "/v1/events", LOG),
    Route("GET", "/v1/principals", ADMIN),
    Route("POST", "/v1/principals", ADMIN, {"name": "newcomer", "kind": "human", "grants": [ALL]}),
    Route("GET", "/v1/principals/{name}", ADMIN, name="admin"),
    Route("PATCH", "/v1/principals/{name}", ADMIN, {"grants": [ALL], "reason": "now"}, name="strategy"),
    Route("POST", "/v1/principals/{name}/tokens", ADMIN, {}, name="admin"),
    Route("GET", "/v1/tokens", ADMIN),
    Route("POST", "/v1/tokens/{token_id}/revoke", ADMIN),
]


class Guarded(NamedTuple):
    """A world with a principal for each column."""

    world: World
    tokens: dict[str, str]
    token_id: str

    def send(self, route: Route, column: str, **headers: str) -> httpx.Response:
        """The request, by that principal."""
        given = {"version": route.version, "path": "model.bin", "selector": "latest", "alias": "shadow", "other": 2}
        sha256 = PENDING if "uploads" in route.route else SHA256
        path = (
            route.route.format(name=route.name, sha256=sha256, token_id=self.token_id, start=0, **given) + route.query
        )
        with self.world.http(self.tokens.get(column), **headers) as http:
            if isinstance(route.body, bytes):
                headers = {"x-prefix-sha256": SHA256, "content-type": "application/vnd.model-registry.blobs"}
                return http.request(route.method, path, content=route.body, headers=headers)
            return http.request(route.method, path, json=route.body, headers=key() | {"if-match": "*"})


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """One world for all of this file; tests change copies of it."""
    with backend() as application:
        world = World(application)
        with application.registry() as admin:
            furnished(admin, MODEL)
            rolled(admin)
            grants = {column: Grant(role=Role(column), models="*") for column in COLUMNS if column in set(Role)}
            grants |= {
                "elsewhere": Grant(role=Role.ADMIN, models="gbpusd-*"),
                "patterned": Grant(role=Role.ADMIN, models="eurusd-*"),
            }
            tokens = {}
            for column, grant in grants.items():
                name = "other-admin" if column == "admin" else column
                admin.principals.create(name, "human" if column in HUMANS else "service", [grant])
                issued = admin.principals.issue_token(name)
                tokens[column] = issued.secret or ""
        found = Guarded(world, tokens, issued.token.id)
        for column, may in zip(COLUMNS, UPLOAD.split(), strict=True):
            if may == ALLOWED:
                begin = next(route for route in ROUTES if route.route == "/v1/uploads/{sha256}")
                found.send(begin, column).raise_for_status()
        yield found
        world.close()


def rolled(admin: ModelRegistry) -> None:
    """Make a model with two versions that were in production, and a third that is recalled."""
    admin.models.create(ROLLED, "regression")
    for content in (b"one", b"two"):
        promoted(admin, ROLLED, content)
    admin.versions.recall(ROLLED, version_of(admin, ROLLED).version, reason="it leaks", revision=1)


@pytest.mark.parametrize(("column", "status"), [("integration", 410), ("auditor", 200), ("admin", 200)])
def test_bytes_of_a_recalled_version_are_for_auditors(guarded: Guarded, column: str, status: int) -> None:
    """Whoever reads the whole log may look into what was recalled; to everybody else it is gone."""
    answer = guarded.send(Route("GET", ONE + "/files/{path}", READ, version=3, name=ROLLED), column)
    assert answer.status_code == status
    assert status == 200 or problem(answer)["code"] == "version_recalled"
    assert guarded.send(Route("GET", ONE + "/manifest", READ, version=3, name=ROLLED), column).status_code == 200


def test_every_route_stands_in_the_table(guarded: Guarded) -> None:
    """A new route without an entry fails here; the roles are those that the rights know."""
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
    """A refusal changes no row and no file; a change is one event."""
    expected = route.allowed.split()[COLUMNS.index(column)]
    with guarded.world.copied():
        before = guarded.world.kept()
        answer = guarded.send(route, column)
        after = guarded.world.kept()
    if expected == ALLOWED:
        assert answer.is_success, answer.text
        events = after["rows"]["events"] - before["rows"]["events"]
        assert events == (route.method != "GET" and route.told)
        return
    assert answer.status_code == STATUS[expected], answer.text
    told = problem(answer)
    assert after == before
    if expected == UNKNOWN:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    if expected in {UNSEEN, BLOBLESS}:
        assert told["code"] == {UNSEEN: "model_not_found", BLOBLESS: "blob_not_found"}[expected]
    if expected == FORBIDDEN:
        assert told["field"] == "right"
    if expected == NO_HUMAN:
        assert told["code"] == "human_required"


def test_a_model_that_one_may_not_read_looks_like_one_that_is_not_there(guarded: Guarded) -> None:
    """Neither status nor code nor words tell them apart, whatever is asked of them."""

    def told(route: Route) -> dict[str, Any]:
        answer = problem(guarded.send(route, "elsewhere"))
        return {name: text for name, text in answer.items() if name != "request_id"}

    for route in ROUTES:
        if "{name}" in route.route and route.name == MODEL:
            hidden, missing = told(route), told(route._replace(name="eurusd-absence"))
            assert hidden["detail"].replace(MODEL, "eurusd-absence") == missing["detail"]
            assert hidden | {"detail": "", "value": ""} == missing | {"detail": "", "value": ""}


def test_a_list_holds_only_what_one_may_read(guarded: Guarded) -> None:
    """The same list is long for one and empty for another, and each may read about oneself."""
    listing = next(route for route in ROUTES if route.route == "/v1/models")
    assert [len(guarded.send(listing, column).json()["items"]) for column in ("analysis", "elsewhere")] == [2, 0]
    itself = Route("GET", "/v1/principals/{name}", "", name="analysis")
    assert guarded.send(itself, "analysis").json()["name"] == "analysis"


def test_a_method_is_what_the_request_line_says(guarded: Guarded) -> None:
    """Headers, parameters and fields that would override it are not obeyed."""
    before = guarded.world.kept()
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
    assert guarded.world.kept() == before


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND"])
def test_other_methods_do_nothing(guarded: Guarded, method: str) -> None:
    """They are answered 405 with the methods there are, with a token and without."""
    before = guarded.world.kept()
    for token in (None, guarded.world.token):
        with guarded.world.http(token) as http:
            for path in ("/v1/models", f"/v1/models/{MODEL}"):
                answer = http.request(method, path)
                assert answer.status_code == 405
                assert "GET" in answer.headers["allow"]
    assert guarded.world.kept() == before


def test_options_tell_methods_and_no_more(guarded: Guarded) -> None:
    """Nobody needs a token to ask which methods there are, and no other origin is let in."""
    with guarded.world.http() as http:
        for path in ("/v1/models", f"/v1/models/{MODEL}", "/v1/models/absent", "/v1/tokens"):
            answer = http.options(path, headers={"origin": "https://elsewhere.example"})
            assert (answer.status_code, answer.content) == (204, b"")
            assert not [name for name in answer.headers if name.startswith("access-control")]


def test_no_page_loads_anything_from_elsewhere(guarded: Guarded) -> None:
    """The framework's own documentation pages, which would load scripts from other hosts into a browser, are gone."""
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
    """A slash too many is another address, for an empty name must not make a shorter path of another meaning."""
    with guarded.world.http(guarded.world.token) as http:
        answer = http.get(httpx.URL("http://registry.test").copy_with(raw_path=path.encode()))
    assert answer.status_code == 404
    told = problem(answer)
    assert (told["code"], told["field"], told["value"]) == ("not_found", "path", path)


class TestAuthorization:
    """Only one valid token in one header of the right shape lets anybody in."""

    @pytest.fixture
    def secret(self, guarded: Guarded) -> str:
        """A token that is valid."""
        return guarded.tokens["admin"]

    @staticmethod
    def refused(guarded: Guarded, *authorization: str | bytes, path: str = "/v1/whoami") -> None:
        """Fail unless these headers are refused, in words that hold none of them, without a trace in state or log."""
        before = guarded.world.kept()
        headers = [("authorization", value) for value in authorization]
        with logged() as log, guarded.world.http() as http:
            for method in ("GET", "POST"):
                answer = http.request(method, path if method == "GET" else "/v1/models", headers=headers, content=b"[")
                told = problem(answer)
                assert (answer.status_code, told["code"]) == (401, "unauthenticated")
                assert answer.headers["www-authenticate"] == 'Bearer realm="model-registry"'
                for value in authorization:
                    secret = (value if isinstance(value, str) else value.decode("latin-1")).rpartition(" ")[2]
                    assert len(secret) < 8 or secret not in answer.text + str(answer.headers) + "".join(log.lines)
        assert guarded.world.kept() == before
        assert log.failures == []

    def test_the_right_token_is_let_in(self, guarded: Guarded, secret: str) -> None:
        """The name of the scheme is compared without regard to capitals, as RFC 9110 says."""
        with guarded.world.http() as http:
            for scheme in ("Bearer", "bearer", "BEARER"):
                assert http.get("/v1/whoami", headers={"authorization": f"{scheme} {secret}"}).status_code == 200

    def test_no_token_is_refused(self, guarded: Guarded) -> None:
        """Nothing is open to nobody."""
        self.refused(guarded)

    @pytest.mark.parametrize(
        "shape",
        [
            "",
            "Bearer",
            "Bearer ",
            "Bearer x",
            "Bearer {secret} ",
            "Bearer  {secret}",
            " {secret}",
            "{secret}",
            "Basic {secret}",
            "Basic YWRtaW46cGFzc3dvcmQ=",
            "Digest username=admin",
            "Token {secret}",
            "Bearer {secret}, Bearer {secret}",
            "Bearer {secret},{secret}",
            "Bearer {secret} {secret}",
            "Bearer {secret}\t",
            "Bearer {secret}\x00",
            "Bearer mrg_",
            "Bearer mrg_" + "a" * 49,
            "Bearer " + "x" * 60_000,
            "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
        ],
    )
    def test_a_header_of_another_shape_is_refused(self, guarded: Guarded, secret: str, shape: str) -> None:
        """Other schemes, other spacing, several tokens, made-up tokens."""
        self.refused(guarded, shape.format(secret=secret))

    def test_a_token_is_compared_exactly(self, guarded: Guarded, secret: str) -> None:
        """Another case, a wrong checksum, one letter more or less, or a look-alike is another token."""
        wrong = "a" if secret[-1] != "a" else "b"
        others = [secret.upper(), secret.lower(), secret.swapcase(), secret[:-1], secret + "a", secret[:-1] + wrong]
        others += [secret[:10] + ("x" if secret[10] != "x" else "y") + secret[11:], secret.replace("mrg", "MRG")]
        for other in others:
            self.refused(guarded, f"Bearer {other}")
        self.refused(guarded, b"Bearer " + secret.encode()[:-1] + b"\xff")
        self.refused(guarded, f"Bearer {secret[:-1]}\N{FULLWIDTH DIGIT ONE}".encode())

    def test_of_several_headers_none_counts(self, guarded: Guarded, secret: str) -> None:
        """A proxy and the registry might read different ones."""
        for pair in ([f"Bearer {secret}", "Bearer x"], ["Bearer x", f"Bearer {secret}"], [f"Bearer {secret}"] * 2):
            self.refused(guarded, *pair)

    def test_a_token_in_the_address_does_not_count(self, guarded: Guarded, secret: str) -> None:
        """Addresses end up in logs; beside a valid header such a parameter is refused too, and not repeated."""
        for path in ("/v1/whoami", "/v1/models", f"/v1/models/{MODEL}", f"/v1/models/{MODEL}/resolve/latest"):
            self.refused(guarded, path=f"{path}?access_token={secret}")
            with guarded.world.http(secret) as http:
                answer = http.get(path, params={"access_token": secret})
            assert (answer.status_code, problem(answer)["value"]) == (422, "access_token")
            assert secret not in answer.text

    def test_other_headers_do_not_count(self, guarded: Guarded, secret: str) -> None:
        """Only Authorization is read."""
        for name in ("proxy-authorization", "x-api-key", "x-forwarded-authorization", "cookie", "x-token"):
            with guarded.world.http(**{name: f"Bearer {secret}"}) as http:
                assert http.get("/v1/whoami").status_code == 401

    def test_a_revoked_token_is_refused_at_once(self, guarded: Guarded) -> None:
        """Even by a server that let it in a moment ago; so are the rights of a principal that lost them."""
        with guarded.world.copied(), guarded.world.backend.registry() as admin:
            issued = admin.principals.issue_token("strategy")
            grants = admin.principals.get("analysis")
            with guarded.world.http(issued.secret) as theirs, guarded.world.http(guarded.tokens["analysis"]) as others:
                assert theirs.get("/v1/whoami").status_code == 200
                assert others.get(f"/v1/models/{MODEL}").status_code == 200
                admin.principals.revoke_token(issued.token.id)
                admin.principals.update("analysis", [], revision=grants.revision)
                assert theirs.get("/v1/whoami").status_code == 401
                assert others.get(f"/v1/models/{MODEL}").status_code == 404
            self.refused(guarded, f"Bearer {issued.secret}")

    def test_an_expired_token_is_refused(self, guarded: Guarded) -> None:
        """To the second."""
        with guarded.world.copied(), guarded.world.backend.registry() as admin:
            issued = admin.principals.issue_token("strategy", valid_days=1)
            guarded.world.later(timedelta(days=1) - timedelta(minutes=1))
            with guarded.world.http(issued.secret) as http:
                assert http.get("/v1/whoami").status_code == 200
            guarded.world.later(timedelta(minutes=1))
            self.refused(guarded, f"Bearer {issued.secret}")
