"""The examples run with an in-process registry, and as scripts against a real server."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common_lib import AsyncHttpRegistry, Grant, HttpRegistry, PrincipalKind, RegistryConfig, Role
from examples import analysis_read, integration_promote, strategy_load, workbench_train
from registry_server.serving import running
from registry_server.settings import Settings

EXAMPLES = Path(workbench_train.__file__).parent
# In the order of a model's life, each with the role it needs and what it ends with.
SCRIPTS = {
    "workbench_train.py": (Role.WORKBENCH, "models:/execution-cost/1 is in staging: {'"),
    "integration_promote.py": (Role.INTEGRATION, "models:/execution-cost/1 is in production"),
    "analysis_read.py": (Role.ANALYSIS, "execution-cost (regression): version 1 of 1 by workbench, "),
    "strategy_load.py": (Role.STRATEGY, "an order of 4 % of the day's volume costs about 4.6 bp"),
}
TESTS = {"test_with_injection.py"}


def run(*command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python as a user would, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_example_is_run_here() -> None:
    """An example without a test would break unnoticed."""
    assert {file.name for file in EXAMPLES.glob("*.py")} == SCRIPTS.keys() | TESTS


def test_examples_work_on_an_injected_registry(
    model_registry: HttpRegistry, async_model_registry: AsyncHttpRegistry, tmp_path: Path
) -> None:
    """Each function works on the registry it gets; the next service finds what the previous one stored."""
    submitted = workbench_train.main(model_registry)
    assert submitted.metrics["mae_bp"] < submitted.metrics["mean_mae_bp"]
    promoted = asyncio.run(integration_promote.main(async_model_registry))
    assert promoted is not None
    assert promoted.reference == submitted.reference
    [line] = asyncio.run(analysis_read.main(async_model_registry))
    assert "execution-cost (regression): version 1 of 1 by admin" in line
    assert "aliases champion; mae_bp" in line
    assert strategy_load.main(model_registry, tmp_path)(0.04) == pytest.approx(4.6, abs=0.05)


def test_a_candidate_no_better_than_the_mean_is_archived(
    model_registry: HttpRegistry, async_model_registry: AsyncHttpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of integration promotes only a better version, and logs its reason."""
    monkeypatch.setattr(workbench_train, "HOLDOUT", [(0.04, 1.0), (0.1, 1.0)])
    workbench_train.main(model_registry)
    assert asyncio.run(integration_promote.main(async_model_registry)) is None
    assert model_registry.versions.get("execution-cost", 1).stage == "archived"
    assert "no better than the mean" in model_registry.events.after(0)[-1].data["reason"]


def test_the_example_of_tests_passes_by_itself(tmp_path: Path) -> None:
    """The test file of a service needs only the plug-in."""
    done = run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / "test_with_injection.py"), folder=tmp_path
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_examples_work_as_scripts_against_a_server(tmp_path: Path) -> None:
    """With an address and a token of the least role in the environment."""
    with running(Settings(data=tmp_path / "data", port=0)) as url:
        admin = RegistryConfig(url=url, token=(tmp_path / "data" / "admin-token").read_text().strip())
        for name, (role, ending) in SCRIPTS.items():
            with HttpRegistry(admin) as registry:
                registry.principals.create(role, PrincipalKind.SERVICE, [Grant(role=role, models="execution-cost")])
                token = registry.principals.issue_token(role).secret or ""
            done = run(str(EXAMPLES / name), folder=tmp_path, REGISTRY_URL=url, REGISTRY_TOKEN=token)
            assert (done.returncode, done.stderr) == (0, ""), name
            assert ending in done.stdout
            assert token not in done.stdout
    assert [file.name for file in (tmp_path / "models").rglob("*.json")] == ["model.json"]
