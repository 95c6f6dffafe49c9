"""Models by reference: load, convert and log, through every client on every engine."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from adapters.workbench import Workbench
from common_lib import ModelRegistry
from common_lib.errors import LoadRefused, NoSafeFormat, NotCached
from common_lib.operations.base import Operation

PARAMETERS = {"alpha": 0.5, "weights": [1, 2, 3]}


@pytest.fixture
def json_model(registry: ModelRegistry, name: str, tmp_path: Path) -> str:
    """Provide the reference of a model that is a JSON document."""
    (tmp_path / "model.json").write_text(json.dumps(PARAMETERS), "utf-8")
    registry.models.create(name, "regression")
    return registry.register(name, tmp_path / "model.json", framework="json").reference


@pytest.fixture
def pickled(registry: ModelRegistry, name: str, tmp_path: Path) -> Any:
    """Create a version that is a pickle."""
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(PARAMETERS))
    registry.models.create(name, "regression")
    return registry.register(name, tmp_path / "model.pkl", framework="pickle", metrics={"rmse": 0.5}, tags={"a": "b"})


def test_a_model_is_loaded_by_its_reference(registry: ModelRegistry, json_model: str) -> None:
    """The client fetches and verifies the bytes before it parses them."""
    assert registry.load(json_model) == PARAMETERS


def test_a_cached_model_is_loaded_during_an_outage(registry: ModelRegistry, json_model: str, name: str) -> None:
    """A reference that was never fetched gets an error that says so."""
    registry.load(json_model)

    class Silent(ModelRegistry):
        origin = registry.origin

        def call(self, operation: Operation[Any]) -> Any:
            raise AssertionError(operation.path)

    assert Silent().load(json_model, local_files_only=True) == PARAMETERS
    with pytest.raises(NotCached, match="fetch it once"):
        Silent().load(f"models:/{name}/latest", local_files_only=True)


def test_cached_references_belong_to_one_registry(registry: ModelRegistry, json_model: str) -> None:
    """The cached bytes are shared between registries, the references are not."""
    registry.load(json_model)

    class Other(ModelRegistry):
        origin = "http://another.test"

        def call(self, operation: Operation[Any]) -> Any:
            raise AssertionError(operation.path)

    with pytest.raises(NotCached):
        Other().load(json_model, local_files_only=True)


def test_a_pickle_is_loaded_only_by_its_trusted_digest(registry: ModelRegistry, pickled: Any) -> None:
    """The caller trusts the digest of the version; any other digest is not enough."""
    for trust in (None, {"sha256:" + "0" * 64}):
        with pytest.raises(LoadRefused, match="trust"):
            registry.load(pickled.reference, trust=trust)
    assert registry.load(pickled.reference, trust={pickled.digest}) == PARAMETERS


def test_a_trusted_pickle_is_converted_to_a_safe_version(registry: ModelRegistry, pickled: Any) -> None:
    """The new version has the same facts, and the old version as its parent."""
    with pytest.raises(LoadRefused):
        registry.convert(pickled.reference, trust=set())
    safe = registry.convert(pickled.reference, trust={pickled.digest})
    assert (safe.version, safe.framework, safe.metrics, safe.tags) == (2, "json", {"rmse": 0.5}, {"a": "b"})
    assert safe.lineage is not None
    assert safe.lineage.parent == pickled.reference
    assert registry.load(safe.reference) == PARAMETERS


def test_the_workbench_saves_a_trained_model_in_a_safe_format(registry: ModelRegistry, name: str) -> None:
    """An object without a safe format is refused before anything is registered."""
    workbench = Workbench(registry)
    workbench.ensure_model(name, "regression")
    version = workbench.log_model(name, PARAMETERS, metrics={"rmse": 0.5})
    assert registry.load(version.reference) == PARAMETERS
    with pytest.raises(NoSafeFormat):
        workbench.log_model(name, object(), metrics={})
    assert registry.models.get(name).latest_version == 1
