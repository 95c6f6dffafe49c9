"""Strategy execution: load the production model from verified files, and estimate the cost of an order.

REGISTRY_URL=http://127.0.0.1:8321 REGISTRY_TOKEN=mrg_… python examples/strategy_load.py
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

from adapters.strategy import Strategy
from common_lib import HttpRegistry, ModelRegistry

MODEL = "execution-cost"
FOLDER = Path("models")


def main(registry: ModelRegistry, folder: Path) -> Callable[[float], float]:
    """Load the production model as a function of an order's share of the day's volume: its cost in basis points.

    Raises:
        VersionNotFound: no version is in production.
        DigestMismatch: a file is not what the registry's manifest says; it was discarded.
    """
    model = Strategy(registry, folder).trading_model(MODEL)
    weights = json.loads((model.folder / "model.json").read_bytes())

    def cost_bp(share_of_volume: float) -> float:
        return float(weights["intercept"] + weights["slope"] * math.sqrt(share_of_volume))

    return cost_bp


if __name__ == "__main__":
    with HttpRegistry() as connected:
        cost = main(connected, FOLDER)
    print(f"an order of 4 % of the day's volume costs about {cost(0.04):.1f} bp")
