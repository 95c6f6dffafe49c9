"""A table of all routes with the principals that may use them, and a registry with one principal per column."""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx

from common_lib import Grant, ModelRegistry, Role
from registry_server.testing import backend
from tests.security.worlds import CONTENT, MODEL, SHA256, World, create_example_model, key
from tests.support.steps import promoted, version_of

COLUMNS = (
    "nobody",
    *(str(role) for role in Role),
    "elsewhere",  # an admin of other models only
    "patterned",  # an admin of eurusd-* only
)
ALLOWED, FORBIDDEN, UNSEEN, BLOBLESS, UNKNOWN, NO_HUMAN = ".", "F", "N", "B", "U", "S"
STATUS = {FORBIDDEN: 403, UNSEEN: 404, BLOBLESS: 404, UNKNOWN: 401, NO_HUMAN: 403}
HUMANS = ("integration", "admin")
# Columns:      nobody workbench integration analysis strategy auditor admin elsewhere patterned
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
# The principals of the columns integration and admin are humans, the others are services.
APPROVE = "U F . F F F . N S"
UPLOAD = "U . F F F F . . ."
# Bytes that belong to no readable model are reported as missing.
BYTES = "U . F F F F . B ."
VERIFY = "U . . . . . . B ."
FILES = {"files": [{"path": "model.bin", "size": len(CONTENT), "sha256": SHA256}], "framework": "test"}
ALL = {"role": "admin", "models": "*"}
ONE = "/v1/models/{name}/versions/{version}"
# A model with two versions that were in production, and a third that is recalled.
ROLLED = "eurusd-rolled"
# The digest of an upload that is not complete.
PENDING = hashlib.sha256(CONTENT + b"!").hexdigest()


class Route(NamedTuple):
    """One request to a route, and the principals that may send it."""

    method: str
    route: str
    allowed: str
    body: Any = None
    version: int = 1
    name: str = MODEL
    has_event: bool = True  # whether a successful change writes an event
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
    Route("PUT", "/v1/blobs/{sha256}", UPLOAD, CONTENT, has_event=False),
    Route("POST", "/v1/blobs", UPLOAD, bytes.fromhex(SHA256) + len(CONTENT).to_bytes(8) + CONTENT, has_event=False),
    Route("POST", "/v1/presence", UPLOAD, {"sha256": [SHA256]}, has_event=False),
    Route("POST", "/v1/blobs/{sha256}/verify", VERIFY, {}, has_event=False),
    Route("PUT", "/v1/uploads/{sha256}", UPLOAD, {"size": len(CONTENT) + 1}, has_event=False),
    Route("GET", "/v1/uploads/{sha256}", UPLOAD),
    Route("PUT", "/v1/uploads/{sha256}/parts/{start}", UPLOAD, CONTENT, has_event=False),
    Route("DELETE", "/v1/uploads/{sha256}", UPLOAD, has_event=False),
    Route("POST", "/v1/collection", ADMIN, {"grace_s": 0}, has_event=False),
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
    """A world with a principal for each column of the table."""

    world: World
    tokens: dict[str, str]
    token_id: str

    def send(self, route: Route, column: str, **headers: str) -> httpx.Response:
        """Send the request of a route as the principal of a column."""
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


@contextlib.contextmanager
def guarded_world() -> Iterator[Guarded]:
    """Start a registry with a principal for each column of the table."""
    with backend() as application:
        world = World(application)
        with application.registry() as admin:
            create_example_model(admin, MODEL)
            create_rolled_model(admin)
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


def create_rolled_model(admin: ModelRegistry) -> None:
    """Create a model with two versions that were in production, and a recalled third version."""
    admin.models.create(ROLLED, "regression")
    for content in (b"one", b"two"):
        promoted(admin, ROLLED, content)
    admin.versions.recall(ROLLED, version_of(admin, ROLLED).version, reason="it leaks", revision=1)
