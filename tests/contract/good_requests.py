"""A request that succeeds, for every operation of the OpenAPI document."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from registry_server.testing import backend
from tests.security.route_rights import FILES, ONE, PENDING, ROLLED, create_rolled_model
from tests.security.worlds import CONTENT, MODEL, SHA256, World, create_example_model, key

BLOBS = bytes.fromhex(SHA256) + len(CONTENT).to_bytes(8) + CONTENT
BYTES = {"content-type": "application/octet-stream", "x-prefix-sha256": SHA256}


class Good(NamedTuple):
    """Parts of a request that succeeds; `base` is the path of the entity whose ETag the change is based on."""

    body: Any = None
    name: str = MODEL
    version: int = 1
    query: str = ""
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    base: str = ""


VERSION = ONE.format(name=MODEL, version=1)
# By operation id; most reads need no entry.
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
# `replacing` is the condition of a rollback, so its If-Match is optional.
OPTIONAL = {"roll_back_model"}


class Operation(NamedTuple):
    """An operation of the OpenAPI document."""

    method: str
    path: str
    described: dict[str, Any]

    @property
    def name(self) -> str:
        """Operation id in the document."""
        return str(self.described["operationId"])

    def takes(self, header: str) -> bool:
        """Return whether the operation accepts a header."""
        return any((one["in"], one["name"]) == ("header", header) for one in self.described["parameters"])

    def requires(self, header: str) -> bool:
        """Return whether the operation requires a header."""
        return any(one["name"] == header and one["required"] for one in self.described["parameters"])


class Served:
    """A world in which each operation has a request that succeeds."""

    def __init__(self, world: World) -> None:
        self.world = world
        with world.backend.registry() as admin:
            create_example_model(admin, MODEL)
            create_rolled_model(admin)
            admin.principals.create("bystander", "human", [])
            self.token_id = admin.principals.issue_token("bystander").token.id
            judge = {"role": "admin", "models": "*"}
            world.send("POST", "/v1/principals", {"name": "judge", "kind": "human", "grants": [judge]})
            self.judge = admin.principals.issue_token("judge").secret or ""
        with world.http(self.judge) as http:
            http.put(f"/v1/uploads/{PENDING}", json={"size": len(CONTENT) + 1}).raise_for_status()

    @functools.cached_property
    def operations(self) -> list[Operation]:
        """All operations of the document."""
        with self.world.http() as http:
            paths = http.get("/openapi.json").json()["paths"]
        return [Operation(m.upper(), path, one) for path, methods in paths.items() for m, one in methods.items()]

    def send(self, operation: Operation, *, body: Any = None, anonymous: bool = False, **headers: str | None) -> Any:
        """Send the good request of an operation with other headers; a header that is None is omitted."""
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
        """Return the ETag of the entity that a change is based on."""
        answer = self.world.send("GET", GOOD[operation.name].base)
        assert answer.status_code in {200, 410}, answer.text
        return str(answer.headers["etag"])


@contextlib.contextmanager
def served_world() -> Iterator[Served]:
    """Start a registry in which every operation has a request that succeeds."""
    with backend() as application:
        found = Served(World(application))
        yield found
        found.world.close()
