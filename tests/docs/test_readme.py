"""The examples and commands of the README work."""

import asyncio
import re
from pathlib import Path
from typing import Any

from registry_server.testing import TestBackend

_ROOT = Path(__file__).parents[2]
_README = (_ROOT / "README.md").read_text("utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", _README, re.DOTALL | re.MULTILINE)


def test_the_four_examples_run_one_after_the_other(model_registry_backend: TestBackend, tmp_path: Path) -> None:
    """They are those of workbench, integration, analysis and strategy."""
    trained = tmp_path / "model.skops"
    trained.write_bytes(b"trained")
    workbench, integration, analysis, strategy = _blocks("python")
    names: dict[str, Any] = {"trained": trained}
    with model_registry_backend.registry() as registry:
        names["registry"] = registry
        exec(workbench, names)  # noqa: S102 - text of this repository
        exec(integration, names)  # noqa: S102
        exec(analysis, names)  # noqa: S102

        async def decide_and_read() -> dict[str, dict[str, float]]:
            async with model_registry_backend.async_registry() as asynchronous:
                await names["release"](asynchronous)
                found: dict[str, dict[str, float]] = await names["overview"](asynchronous)
                return found

        assert asyncio.run(decide_and_read())["eurusd-volatility"]["naive/rmse"] == 1.589
        exec(strategy, names)  # noqa: S102
    assert registry.config.url


def test_the_readme_has_two_commands_and_ci_runs_the_second() -> None:
    """The first one runs the demo, the second one the tests; each is one line."""
    demo, tests = (block.strip() for block in _blocks("bash"))
    assert "\n" not in demo
    assert demo.endswith("registry-server demo")
    assert tests in (_ROOT / ".ci" / "run").read_text("utf-8").splitlines()


def test_every_linked_page_exists() -> None:
    """Each relative link is the path of a file."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", _README):
        assert (_ROOT / target).exists(), target
