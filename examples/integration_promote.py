"""ML integration: promote the newest candidate that is better than the mean, and archive the worse ones before it.

REGISTRY_URL=http://127.0.0.1:8321 REGISTRY_TOKEN=mrg_… python examples/integration_promote.py
"""

import asyncio

from adapters.integration import Integration
from common_lib import AsyncHttpRegistry, AsyncModelRegistry, ModelVersion
from common_lib.errors import PolicyNotMet, ProductionChanged, RevisionMismatch

MODEL = "execution-cost"


async def main(registry: AsyncModelRegistry) -> ModelVersion | None:
    """Promote the newest candidate that is good enough and return it, or None if none is."""
    integration = Integration(registry)
    for candidate in await integration.candidates(MODEL):
        error, naive = candidate.metrics["mae_bp"], candidate.metrics["mean_mae_bp"]
        figures = f"an error of {error:.2f} bp on held-out fills, the mean has {naive:.2f} bp"
        if error >= naive:
            await integration.archive(candidate, reason=f"no better than the mean: {figures}")
            continue
        check = await integration.check(candidate)
        try:
            promoted = await integration.promote(
                candidate, reason=f"better than the mean: {figures}", replacing=check.replacing
            )
        except (RevisionMismatch, ProductionChanged, PolicyNotMet):
            # Another decision came first, or the policy is not met: the next run tries again.
            continue
        await integration.point("champion", promoted, reason="follows production")
        return promoted
    return None


async def run() -> None:
    """Promote a candidate in the registry that the environment names."""
    async with AsyncHttpRegistry() as connected:
        promoted = await main(connected)
    print(f"{promoted.reference} is in {promoted.stage}" if promoted else f"no candidate of {MODEL} is good enough")


if __name__ == "__main__":
    asyncio.run(run())
