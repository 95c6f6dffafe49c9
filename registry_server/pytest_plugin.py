"""pytest fixtures for testing services that use the registry (extra `testing`).

pytest loads every plug-in that it finds. Therefore this module imports the registry only when a fixture is used.

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
    """Provide one application for the whole session."""
    from registry_server.testing import backend  # noqa: PLC0415 - see the module

    with backend() as world:
        yield world


@pytest.fixture(scope="session")
def model_registry_caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create one folder for all caches of a session: with one folder per test, pytest would list all earlier ones."""
    return tmp_path_factory.mktemp("model-registry-caches")


@pytest.fixture
def model_registry_cache(model_registry_caches: Path) -> Iterator[Path]:
    """Provide an empty cache for one test, separate from the user's cache and from other tests."""
    folder = Path(tempfile.mkdtemp(dir=model_registry_caches))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGISTRY_CACHE", str(folder))
        yield folder


@pytest.fixture
def model_registry_backend(
    model_registry_application: "TestBackend",
    model_registry_cache: Path,  # noqa: ARG001 - only its environment variable matters
) -> "TestBackend":
    """Provide the application on a fresh database; `registry("strategy")` returns a registry of another role."""
    model_registry_application.reset()
    return model_registry_application


@pytest.fixture
def model_registry(model_registry_backend: "TestBackend") -> "Iterator[HttpRegistry]":
    """Provide an empty registry, used by an admin with blocking calls."""
    with model_registry_backend.registry() as registry:
        yield registry


@pytest.fixture
def async_model_registry(model_registry_backend: "TestBackend") -> "AsyncHttpRegistry":
    """Provide the same registry as `model_registry`, with asynchronous calls."""
    return model_registry_backend.async_registry()


@pytest.fixture
def model_registry_as(model_registry_backend: "TestBackend") -> "Callable[..., HttpRegistry]":
    """Provide a function that opens the same registry as a new principal: `model_registry_as(role, models=…)`."""
    return model_registry_backend.registry
