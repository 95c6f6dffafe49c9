"""ML workbench: train a model, register it with its metrics and lineage, and request its promotion.

REGISTRY_URL=http://127.0.0.1:8321 REGISTRY_TOKEN=mrg_… python examples/workbench_train.py
"""

import hashlib
import json
import math
import statistics
import tempfile
from pathlib import Path

from adapters.workbench import Workbench
from common_lib import FieldSpec, HttpRegistry, ModelRegistry, ModelVersion, Signature

MODEL = "execution-cost"
# Orders as they were filled: the share of the day's volume, and the cost in basis points.
FILLS = [(0.002, 1.2), (0.005, 1.6), (0.01, 2.3), (0.02, 3.3), (0.035, 4.2), (0.05, 5.2), (0.08, 6.4), (0.11, 7.7)]
HOLDOUT = [(0.015, 2.9), (0.03, 3.9), (0.065, 5.8), (0.095, 7.3)]
SIGNATURE = Signature(
    inputs=[FieldSpec(name="share_of_volume", dtype="float64")], outputs=[FieldSpec(name="cost_bp", dtype="float64")]
)


def main(registry: ModelRegistry) -> ModelVersion:
    """Train a model of an order's cost from its share of the day's volume, register it, and move it to staging."""
    slope, intercept = statistics.linear_regression([math.sqrt(share) for share, _ in FILLS], [bp for _, bp in FILLS])
    mean = statistics.fmean(bp for _, bp in FILLS)
    metrics = {
        "mae_bp": statistics.fmean(abs(bp - intercept - slope * math.sqrt(share)) for share, bp in HOLDOUT),
        "mean_mae_bp": statistics.fmean(abs(bp - mean) for _, bp in HOLDOUT),
    }
    workbench = Workbench(registry)
    workbench.ensure_model(MODEL, "regression", description="What an order costs, in basis points.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.json"
        file.write_text(json.dumps({"intercept": intercept, "slope": slope}))
        version = workbench.log_version(
            MODEL,
            file,
            framework="json",
            metrics=metrics,
            parameters={"fills": len(FILLS), "held_out": len(HOLDOUT)},
            signature=SIGNATURE,
            data_digest=f"sha256:{hashlib.sha256(json.dumps(FILLS).encode()).hexdigest()}",
        )
    return workbench.request_promotion(version, reason="trained on today's fills")


if __name__ == "__main__":
    with HttpRegistry() as connected:
        staged = main(connected)
    print(f"{staged.reference} is in {staged.stage}: {staged.metrics}")
