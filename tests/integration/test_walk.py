"""The main path end to end, through the real client."""

from pathlib import Path

import pytest

from adapters import Strategy, Workbench
from common_lib import HttpRegistry
from common_lib.errors import IllegalTransition, VersionNotFound


def test_a_version_goes_from_the_workbench_to_a_strategy(model_registry: HttpRegistry, tmp_path: Path) -> None:
    """A strategy gets the registered and promoted version, byte for byte."""
    trained = tmp_path / "model.json"
    trained.write_text('{"weights": [0.25]}')
    workbench = Workbench(model_registry)
    workbench.ensure_model("eurusd-direction", "classification", tags={"team": "fx"})
    version = workbench.log_version("eurusd-direction", trained, framework="json", metrics={"accuracy": 0.49})
    with pytest.raises(IllegalTransition):
        model_registry.versions.transition("eurusd-direction", 1, "production", reason="too early", revision=1)
    staged = workbench.request_promotion(version)
    strategy = Strategy(model_registry, tmp_path / "models")
    with pytest.raises(VersionNotFound):
        strategy.trading_model("eurusd-direction")
    model_registry.versions.transition(
        "eurusd-direction", 1, "production", reason="it is honest", revision=staged.revision
    )
    model = strategy.trading_model("eurusd-direction")
    assert (model.folder / "model.json").read_bytes() == trained.read_bytes()
    assert [found.name for found in model_registry.models.search(stage="production", tags={"team": "fx"})] == [
        "eurusd-direction"
    ]
