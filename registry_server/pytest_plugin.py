"""Fixtures for the tests of services that depend on the registry (extra `testing`).

pytest loads every plug-in it finds, so this module imports nothing before a fixture is used.

    def test_the_newest_is_served(model_registry):
        model_registry.models.create("eurusd", "forecasting")
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from common_lib.client.async_http_registry import AsyncHttpRegistry
    from common_lib.client.http_registry import HttpRegistry
    from registry_server.testing import TestBackend


@pytest.fixture(scope="session")
def model_registry_application() -> "Iterator[TestBackend]":
    """One application for the whole session."""
    from registry_server.testing import backend  # noqa: PLC0415 - see the module

    with backend() as world:
        yield world


@pytest.fixture(scope="session")
def model_registry_caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folder of all caches of the session: pytest, to number a folder, lists all that it has made before."""
    return tmp_path_factory.mktemp("model-registry-caches")


@pytest.fixture
def model_registry_cache(model_registry_caches: Path) -> Iterator[Path]:
    """The cache of this test's own, empty: what it fetches stays out of the user's, and out of the next test's."""
    folder = Path(tempfile.mkdtemp(dir=model_registry_caches))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGISTRY_CACHE", str(folder))
        yield folder


@pytest.fixture
def model_registry_backend(
    model_registry_application: "TestBackend",
    model_registry_cache: Path,  # noqa: ARG001 - it is enough that the environment names it
) -> "TestBackend":
    """The application on a fresh database; `registry("strategy")` gives a registry of another role."""
    model_registry_application.reset()
    return model_registry_application


@pytest.fixture
def model_registry(model_registry_backend: "TestBackend") -> "Iterator[HttpRegistry]":
    """An empty registry, blocking, of an admin."""
    with model_registry_backend.registry() as registry:
        yield registry


@pytest.fixture
def async_model_registry(model_registry_backend: "TestBackend") -> "AsyncHttpRegistry":
    """The same registry, asynchronous."""
    return model_registry_backend.async_registry()


@pytest.fixture
def model_registry_as(model_registry_backend: "TestBackend") -> "Callable[..., HttpRegistry]":
    """The same registry of somebody else: `model_registry_as("analysis", models="eurusd-*")`."""
    return model_registry_backend.registry
