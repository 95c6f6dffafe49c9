"""Patterns of grants in every spelling, and all times of expiry to the microsecond, on a simulated clock."""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from common_lib import Grant, HttpRegistry, Role
from registry_server.app import use_environment
from registry_server.core import artifacts, collection
from registry_server.core.bootstrap import REGISTRY
from registry_server.core.writes import WriteRequest
from registry_server.domain.collection import CollectionRequest
from tests.security.worlds import World, open_world
from tests.support.steps import version_of

MODELS = ["Alpha-One", "alpha.two", "ALPHA_3", "alphabet", "beta", "Zeta9"]
PATTERNS = {
    "*": set(MODELS),
    "alpha-*": {"Alpha-One"},
    "ALPHA-*": {"Alpha-One"},
    "aLpHa*": {"Alpha-One", "alpha.two", "ALPHA_3", "alphabet"},
    "Alpha-One": {"Alpha-One"},
    "alpha-one": {"Alpha-One"},
    "ALPHA-ONE*": {"Alpha-One"},
    "alpha-one-*": set(),
    "alpha": set(),
    "alpha_*": {"ALPHA_3"},
    "alpha.*": {"alpha.two"},
    "ALPHA.TWO": {"alpha.two"},
    "BETA": {"beta"},
    "b*": {"beta"},
    "zETA9*": {"Zeta9"},
    "Zeta": set(),
    "9*": set(),
}
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)


@pytest.fixture(scope="module", params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Provide a registry on each engine with models in several spellings, each with different bytes."""
    with open_world(request) as this:
        with this.backend.registry() as registry:
            for name in MODELS:
                registry.models.create(name, "regression", tags={"kind": "spelt"})
                version_of(registry, name, name.encode())
        yield this


@pytest.fixture
def admin(world: World) -> Iterator[HttpRegistry]:
    """Provide the admin's registry."""
    with world.backend.registry() as this:
        yield this


def caller(world: World, admin: HttpRegistry, role: Role, *patterns: str) -> httpx.Client:
    """Return an HTTP client of a new principal with a role on the models of each pattern."""
    name = f"p-{uuid.uuid4().hex[:10]}"
    admin.principals.create(name, "service", [Grant(role=role, models=pattern) for pattern in patterns])
    return world.http(admin.principals.issue_token(name).secret)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_all_responses_agree_about_the_models_of_a_pattern(world: World, admin: HttpRegistry, pattern: str) -> None:
    """Search, reads, resolves, files, history and blobs match patterns without regard to upper-case letters."""
    covered = PATTERNS[pattern]
    with caller(world, admin, Role.WORKBENCH, pattern) as http:
        listed = {model["name"] for model in http.get("/v1/models?limit=1000&tag=kind%3Dspelt").json()["items"]}
        assert listed == covered
        searched = {model["name"] for model in http.get("/v1/models?limit=1000").json()["items"]}
        assert searched & set(MODELS) == covered
        for model in MODELS:
            sha256 = hashlib.sha256(model.encode()).hexdigest()
            reads = {
                target: http.get(f"/v1/models/{model}{target}").status_code
                for target in (
                    *("", "/versions", "/versions/1", "/versions/1/manifest", "/versions/1/files/model.bin"),
                    *("/resolve/latest", "/resolve/%6Catest", "/history", "/policy", "/aliases"),
                )
            }
            reads["blob"] = http.get(f"/v1/blobs/{sha256}").status_code
            reads["verify"] = http.post(f"/v1/blobs/{sha256}/verify").status_code
            missing = http.post("/v1/presence", json={"sha256": [sha256]}).json()["missing"]
            reads["presence"] = 404 if missing else 200
            assert set(reads.values()) == {200 if model in covered else 404}, (model, reads)
            # Another spelling is another name for every caller: the server does not normalise names.
            assert http.get(f"/v1/models/{model.swapcase()}").status_code == 404


def test_the_patterns_of_several_grants_are_combined(world: World, admin: HttpRegistry) -> None:
    """A principal sees the models that match at least one of its patterns, and no others."""
    with caller(world, admin, Role.ANALYSIS, "BET*", "ZETA9", "alpha.t*") as http:
        listed = [model["name"] for model in http.get("/v1/models?limit=2").json()["items"]]
        assert listed == ["Zeta9", "alpha.two"]
        everything = {model["name"] for model in http.get("/v1/models").json()["items"]}
        assert everything == {"Zeta9", "alpha.two", "beta"}


class Clock:
    """A simulated clock for an application; its time stands still until a test sets it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.before = world.backend.env
        self.time = self.before.now() + DAY
        env = msgspec.structs.replace(self.before, now=lambda: self.time)
        world.backend.env = env
        use_environment(world.backend._app, env)

    def close(self) -> None:
        """Restore the application's own clock."""
        self.world.backend.env = self.before
        use_environment(self.world.backend._app, self.before)

    def collect(self, **order: Any) -> Any:
        """Run a garbage collection at the current time of the clock."""
        env: Any = self.world.backend.env
        request = WriteRequest(REGISTRY, self.time, "test", env.new_id(), "collect")
        wanted = CollectionRequest(**order)
        return self.world.backend._portal.call(collection.collect, env, request, wanted)


@pytest.fixture
def clock(world: World) -> Iterator[Clock]:
    """Provide a simulated clock for the application."""
    this = Clock(world)
    yield this
    this.close()


@pytest.mark.parametrize("warm", [True, False], ids=["cached", "not cached"])
def test_a_token_expires_at_its_exact_time(world: World, clock: Clock, *, warm: bool) -> None:
    """A token is valid until one microsecond before its expiry, even if the server has cached it."""
    with world.backend.registry() as admin:
        name = f"p-{uuid.uuid4().hex[:10]}"
        admin.principals.create(name, "service", [Grant(role=Role.ANALYSIS, models="*")])
        issued = admin.principals.issue_token(name, valid_days=1)
    expires = issued.token.expires_at
    with world.http(issued.secret) as http:
        for target in ("/v1/whoami", "/v1/models/beta/resolve/latest"):
            moments = [(expires - MICROSECOND, 200), (expires, 401), (expires + MICROSECOND, 401), (expires + DAY, 401)]
            for moment, status in moments if warm else moments[::-1]:
                clock.time = moment
                if not warm:
                    world.backend._app.state.authenticator.forget()
                assert http.get(target).status_code == status, (target, moment - expires)
            clock.time = expires - DAY
            world.backend._app.state.authenticator.forget()


def test_a_lease_ends_at_its_exact_time(world: World, clock: Clock) -> None:
    """The collector counts a blob without a version as unreferenced from the end of its lease on, not earlier."""
    content = uuid.uuid4().bytes
    sha256 = hashlib.sha256(content).hexdigest()
    began = clock.time
    with world.http(world.token) as http:
        assert http.put(f"/v1/blobs/{sha256}", content=content).status_code == 201
    clock.time = began + artifacts.LEASE - MICROSECOND
    before = clock.collect(dry_run=True).unreferenced_blobs
    clock.time = began + artifacts.LEASE
    assert clock.collect(dry_run=True).unreferenced_blobs == before + 1


def test_possession_of_bytes_ends_with_the_lease(world: World, clock: Clock, admin: HttpRegistry) -> None:
    """A collection removes a sender's access to its blob at the end of the lease, not a microsecond earlier."""
    content = uuid.uuid4().bytes
    sha256 = hashlib.sha256(content).hexdigest()
    began = clock.time
    with caller(world, admin, Role.WORKBENCH, "nothing-of-this-*") as http:
        assert http.put(f"/v1/blobs/{sha256}", content=content).status_code == 201
        for moment, status in ((began + artifacts.LEASE - MICROSECOND, 200), (began + artifacts.LEASE, 404)):
            clock.time = moment
            clock.collect(grace_s=10 * 86_400)
            assert http.get(f"/v1/blobs/{sha256}").status_code == status


def test_a_collection_waits_for_the_whole_grace_period(world: World, clock: Clock) -> None:
    """A collection removes a blob at the end of the grace period, not a microsecond earlier."""
    content = uuid.uuid4().bytes
    sha256 = hashlib.sha256(content).hexdigest()
    with world.http(world.token) as http:
        http.put(f"/v1/blobs/{sha256}", content=content)
        clock.time += artifacts.LEASE
        clock.collect()
        found = clock.time
        clock.time = found + DAY - MICROSECOND
        clock.collect(grace_s=86_400)
        assert http.get(f"/v1/blobs/{sha256}").status_code == 200
        clock.time = found + DAY
        clock.collect(grace_s=86_400)
        assert http.get(f"/v1/blobs/{sha256}").status_code == 404


def test_an_upload_expires_at_its_exact_time(world: World, clock: Clock) -> None:
    """A collection removes an upload at its expiry, not a microsecond earlier."""
    sha256 = hashlib.sha256(uuid.uuid4().bytes).hexdigest()
    with world.http(world.token) as http:
        upload = http.put(f"/v1/uploads/{sha256}", json={"size": 1_000}).json()
        expires = datetime.fromisoformat(upload["expires_at"])
        assert expires == clock.time + artifacts.LEASE
        clock.time = expires - MICROSECOND
        clock.collect()
        assert http.get(f"/v1/uploads/{sha256}").status_code == 200
        clock.time = expires
        clock.collect()
        assert http.get(f"/v1/uploads/{sha256}").status_code == 404


def test_a_response_is_replayed_for_at_least_a_day(world: World, clock: Clock) -> None:
    """A stored response is still replayed exactly 24 hours later."""
    env: Any = world.backend.env
    name, began = f"m-{uuid.uuid4().hex[:8]}", clock.time
    request: dict[str, Any] = {"json": {"name": name, "type": "regression"}}
    headers = {"idempotency-key": uuid.uuid4().hex}
    with world.http(world.token) as http:
        first = http.post("/v1/models", headers=headers, **request)

        async def prune() -> None:
            await env.database.write(lambda records: records.idempotency.delete_older(env.now() - DAY))

        clock.time = began + DAY
        world.backend._portal.call(prune)
        again = http.post("/v1/models", headers=headers, **request)
        assert (again.status_code, again.content) == (first.status_code, first.content) == (201, first.content)
        clock.time = began + DAY + MICROSECOND
        world.backend._portal.call(prune)
        assert http.post("/v1/models", headers=headers, **request).status_code == 409
