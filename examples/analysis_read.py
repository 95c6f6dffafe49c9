"""Analysis engine: report the models in production, with their versions, aliases and metrics.

REGISTRY_URL=http://127.0.0.1:8321 REGISTRY_TOKEN=mrg_… python examples/analysis_read.py
"""

import asyncio

from adapters.analysis import Analysis
from common_lib import AsyncHttpRegistry, AsyncModelRegistry


async def main(registry: AsyncModelRegistry) -> list[str]:
    """Return one line for each model that has a version in production."""
    analysis = Analysis(registry)
    lines = []
    for found in await analysis.production_models():
        version = found.version
        figures = ", ".join(f"{name} {value:.3f}" for name, value in sorted(version.metrics.items()))
        aliases = [alias.alias for alias in await analysis.aliases.list_of_model(found.model.name)]
        lines.append(
            f"{found.model.name} ({found.model.type}): version {version.version} of {found.model.latest_version} "
            f"by {version.created_by}, changed {version.updated_at:%Y-%m-%d %H:%M} UTC, "
            f"aliases {', '.join(aliases) or 'none'}; {figures}"
        )
    return lines


async def run() -> None:
    """Print the report about the registry that the environment names."""
    async with AsyncHttpRegistry() as connected:
        print("\n".join(await main(connected)) or "no model has a version in production")


if __name__ == "__main__":
    asyncio.run(run())
