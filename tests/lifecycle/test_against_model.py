"""For random sequences of requests the registry behaves like a small pure model."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from common_lib import Grant, HttpRegistry, RegistryConfig, Role
from common_lib.rules.access import PrincipalKind
from registry_server.inprocess import URL, PortalTransport
from registry_server.testing import TestBackend
from tests.lifecycle.machine import CONTENT, Machine
from tests.lifecycle.model import ANN, BOB, GUEST, ROBOT
from tests.support.steps import version_of

SEED = 20_260_301
_PEOPLE = {
    ANN: (PrincipalKind.HUMAN, Role.ADMIN),
    BOB: (PrincipalKind.HUMAN, Role.INTEGRATION),
    ROBOT: (PrincipalKind.SERVICE, Role.ADMIN),
    GUEST: (PrincipalKind.SERVICE, Role.STRATEGY),
}
# In parts, so that a failure is found and minimized in minutes: 8 times 250 are 2,000 runs.
_LONG = [pytest.param(250, 50, part, marks=[pytest.mark.long, pytest.mark.timeout(900)]) for part in range(1, 9)]


@pytest.fixture
def registries(model_registry_backend: TestBackend) -> Iterator[dict[str, HttpRegistry]]:
    """Provide the registries of four principals, and a blob for their versions."""
    with model_registry_backend.registry() as admin:
        admin.models.create("blobs", "regression")
        version_of(admin, "blobs", CONTENT)
        made = {}
        for name, (kind, role) in _PEOPLE.items():
            admin.principals.create(name, kind, [Grant(role=role, models="*")])
            # No cache: its values may be seconds old.
            config = RegistryConfig(url=URL, token=admin.principals.issue_token(name).secret or "", resolve=None)
            transport = PortalTransport(model_registry_backend._app, model_registry_backend._portal)
            made[name] = HttpRegistry(config, transport=transport)
        yield made
        for registry in made.values():
            registry.close()


@pytest.mark.parametrize(("runs", "steps", "part"), [(25, 25, 0), *_LONG])
def test_a_registry_behaves_like_its_model(
    registries: dict[str, HttpRegistry], runs: int, steps: int, part: int
) -> None:
    """Invalid requests have the error code that the model expects, and a loser's error names the winner."""
    print("seed", SEED + part)
    kind = seed(SEED + part)(type("Asked", (Machine,), {"registries": registries}))
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
