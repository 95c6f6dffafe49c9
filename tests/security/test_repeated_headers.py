"""The shortcut for resolves refuses every request that its ordinary route refuses."""

from collections.abc import Iterator

import pytest

from registry_server.testing import backend
from tests.security.worlds import MODEL, World, problem
from tests.support.steps import promoted

RESOLVE = f"/v1/models/{MODEL}/resolve/production"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Provide a model with a version in production."""
    with backend() as application:
        world = World(application)
        with application.registry() as registry:
            registry.models.create(MODEL, "regression")
            promoted(registry, MODEL)
        yield world


@pytest.mark.parametrize("name", ["content-type", "idempotency-key", "if-match", "if-none-match"])
def test_a_repeated_header_is_refused_on_both_paths(world: World, name: str) -> None:
    """Two values for one header get 422, because client and server could use different ones."""
    with world.http(world.token) as http:
        answers = [http.get(place, headers=[(name, "a"), (name, "b")]) for place in (RESOLVE, f"/v1/models/{MODEL}")]
    assert [(refusal.status_code, problem(refusal)["field"]) for refusal in answers] == [(422, name)] * 2


def test_two_tokens_do_not_authenticate(world: World) -> None:
    """Two Authorization headers get 401, even if both have the same valid token."""
    with world.http() as http:
        answer = http.get(RESOLVE, headers=[("authorization", f"Bearer {world.token}")] * 2)
    assert answer.status_code == 401
