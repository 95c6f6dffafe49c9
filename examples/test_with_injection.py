"""Tests of services that depend on the registry: each test gets an empty, real registry that runs in-process.

The fixtures come with the pytest plug-in of `model-registry-service[testing]`. You do not import, start, configure or
mock anything. Run the tests with `pytest examples/test_with_injection.py`.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from common_lib import AsyncHttpRegistry, HttpRegistry
from common_lib.errors import Forbidden, VersionNotFound
from examples import integration_promote, strategy_load, workbench_train

RegistryAs = Callable[..., HttpRegistry]


def test_a_strategy_does_not_load_a_candidate(model_registry_as: RegistryAs, tmp_path: Path) -> None:
    """A version in staging is not in production."""
    with model_registry_as("workbench") as workbench, model_registry_as("strategy") as strategy:
        workbench_train.main(workbench)
        with pytest.raises(VersionNotFound):
            strategy_load.main(strategy, tmp_path)


def test_a_strategy_gets_what_integration_promoted(
    model_registry: HttpRegistry, async_model_registry: AsyncHttpRegistry, tmp_path: Path
) -> None:
    """Blocking and asynchronous services can use the same registry."""
    staged = workbench_train.main(model_registry)
    promoted = asyncio.run(integration_promote.main(async_model_registry))
    assert promoted is not None
    assert promoted.reference == staged.reference
    cost_bp = strategy_load.main(model_registry, tmp_path)
    assert cost_bp(0.04) == pytest.approx(4.6, abs=0.1)


def test_a_service_cannot_do_more_than_its_role(model_registry_as: RegistryAs) -> None:
    """A token with the role strategy cannot register a version."""
    with model_registry_as("strategy", models="execution-cost") as strategy, pytest.raises(Forbidden):
        workbench_train.main(strategy)
