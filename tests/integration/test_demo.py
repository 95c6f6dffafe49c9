"""The demo: its output agrees with the registry, and its verdicts with the metrics of the models."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from common_lib import HttpRegistry, ModelStage, RegistryConfig
from registry_server.demo import command
from registry_server.demo.data import euro_rates
from registry_server.demo.training import DIRECTION, VOLATILITY, TrainedVersion, train_all
from registry_server.serving import running
from registry_server.settings import Settings

SCRIPT = "import sys; from registry_server.demo import command; sys.exit(command.main(False, None, 0))"
WITHOUT_EXTRA = f"import sys; sys.modules['currency_converter'] = None; {SCRIPT}"


class DemoRun(NamedTuple):
    """Output, exit status, duration and data folder of a run of the demo."""

    output: str
    status: int
    seconds: float
    data: Path

    @property
    def flat(self) -> str:
        """Output with every run of white space as one space, so that wrapped sentences are whole."""
        return " ".join(self.output.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """Run the demo once, with output to a pipe."""
    data = tmp_path_factory.mktemp("demo") / "data"
    output = io.StringIO()
    begun = time.monotonic()
    with pytest.MonkeyPatch.context() as environment, contextlib.redirect_stdout(output):
        for forcing in ("FORCE_COLOR", "TTY_COMPATIBLE"):
            environment.delenv(forcing, raising=False)
        status = command.main(exit_after=True, data=data, port=0)
    return DemoRun(output.getvalue(), status, time.monotonic() - begun, data)


@pytest.fixture
def registry(run: DemoRun) -> Iterator[HttpRegistry]:
    """Open the registry in the folder of the demo as its admin."""
    with running(Settings(data=run.data, port=0, access_log=False)) as url:
        token = (run.data / "admin-token").read_text().strip()
        with HttpRegistry(RegistryConfig(url=url, token=token)) as registry:
            yield registry


@pytest.fixture(scope="module")
def trained() -> tuple[TrainedVersion, ...]:
    """Train all versions again."""
    return train_all(euro_rates("USD"), seed=20230101)


def test_the_demo_ends_by_itself_within_a_minute(run: DemoRun) -> None:
    """With `exit_after` it does not wait for Ctrl-C, and its status is 0."""
    assert run.status == 0
    assert run.seconds < 60


def test_the_output_in_a_pipe_has_short_lines_and_no_colours(run: DemoRun) -> None:
    """No line is wider than 100 columns, except the last one, which has the path of the folder."""
    *lines, last = run.output.splitlines()
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in run.output
    assert last == (f"The server has stopped. To use its data again: registry-server serve --data {run.data}")


def test_no_token_is_printed(run: DemoRun) -> None:
    """Six tokens were used."""
    assert "mrg_" not in run.output


@pytest.mark.parametrize("model", [DIRECTION, VOLATILITY])
def test_each_model_has_three_versions_with_metrics_lineage_and_signature(
    model: str, run: DemoRun, registry: HttpRegistry, trained: tuple[TrainedVersion, ...]
) -> None:
    """Registry and table have the values of a second training."""
    versions = list(registry.versions.search(model, order="version"))
    expected = [version for version in trained if version.model == model]
    assert [version.version for version in versions] == [1, 2, 3]
    for version, again in zip(versions, expected, strict=True):
        lineage, signature = version.lineage, version.signature
        assert lineage is not None
        assert signature is not None
        assert lineage.data_digest == f"sha256:{again.data_digest}"
        assert lineage.parent == (f"models:/{model}/{version.version - 1}" if version.version > 1 else None)
        assert version.parameters["trained_through"] == again.trained_through.isoformat()
        assert tuple(spec.name for spec in signature.inputs) == again.feature_names
        assert version.metrics == pytest.approx(again.metrics)
        assert version.created_by == "workbench"
        figure = again.metrics["accuracy" if model == DIRECTION else "rmse"]
        digest = version.digest.removeprefix("sha256:")[:8]
        assert re.search(
            rf"^v{version.version}  .* {figure:.3f} .* {digest}  {again.data_digest[:8]}", run.output, re.MULTILINE
        )


@pytest.mark.parametrize("model", [DIRECTION, VOLATILITY])
def test_each_production_version_replaced_another_and_is_the_champion(
    model: str, run: DemoRun, registry: HttpRegistry
) -> None:
    """The better of two candidates is in production, the other one archived, the third in development."""
    stages = {version.stage: version for version in registry.versions.search(model)}
    assert stages.keys() == {ModelStage.PRODUCTION, ModelStage.ARCHIVED, ModelStage.DEVELOPMENT}
    production = stages[ModelStage.PRODUCTION]
    assert registry.aliases.get(model, "champion").version == production.version
    assert f"v{production.version} production @champion" in run.flat
    assert f"v{stages[ModelStage.ARCHIVED].version} archived" in run.flat


@pytest.mark.parametrize("model", [DIRECTION, VOLATILITY])
def test_a_model_without_skill_is_reported(
    model: str, run: DemoRun, registry: HttpRegistry, trained: tuple[TrainedVersion, ...]
) -> None:
    """The verdict depends only on the metrics of the version in production."""
    production = registry.resolve(f"models:/{model}/production")
    verdict = next(
        version.verdict
        for version in trained
        if version.model == model and version.metrics == pytest.approx(production.metrics)
    )
    assert production.description == verdict
    assert " ".join(verdict.split()[:4]) in run.flat
    assert (f"{model} has no skill on held-out days" in run.flat) == verdict.startswith("No skill")


def test_strategy_predicts_the_day_after_the_newest_rate(run: DemoRun) -> None:
    """Both production models give a prediction in their own unit."""
    after = f"first trading day after {euro_rates('USD').last_date}"
    assert re.search(r"EUR/USD is higher with probability 0\.\d{3}", run.flat)
    assert re.search(r"EUR/USD moves by \d\.\d\d% \(geometric mean\)", run.flat)
    assert f"forecasts the trading day after the newest rate, that of {euro_rates('USD').last_date}" in run.flat
    assert after in run.flat


def test_refusals_are_printed_with_a_remedy(run: DemoRun) -> None:
    """A missing right and an illegal move have status, code and remedy."""
    assert "Refused: workbench promotes its own eurusd-volatility" in run.flat
    assert "403 forbidden: workbench lacks the right to promote" in run.flat
    assert "Refused: alice promotes eurusd-direction" in run.flat
    assert "409 illegal_transition" in run.flat
    assert "→ from development a version can move to archived or staging" in run.flat


def test_the_whole_log_is_printed(run: DemoRun, registry: HttpRegistry) -> None:
    """Every event has a row with sequence, time, actor and type."""
    events = registry.events.after(0)
    assert len(events) > 30
    for event in events:
        time_and_actor = rf"{event.time:%H:%M:%S}\.\d{{3}}  {event.actor} +"
        kind = re.escape(event.type.removeprefix("registry."))
        assert re.search(rf"^ *{int(event.sequence)}  {time_and_actor}{kind} ", run.output, re.MULTILINE)
    promotions = [event for event in events if event.type == "registry.version.promoted"]
    assert {event.actor for event in promotions} == {"alice"}
    assert [event.data["judged"]["findings"][0]["met"] for event in promotions] == [True] * 4


def test_a_folder_in_use_is_refused(run: DemoRun, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo does not write into an existing registry."""
    before = {file: file.stat().st_mtime_ns for file in run.data.rglob("*")}
    assert command.main(exit_after=True, data=run.data, port=0) == 1
    assert capsys.readouterr().err == (
        f"{run.data} is not an empty folder: give --data a new folder, or omit it for a temporary one.\n"
    )
    assert {file: file.stat().st_mtime_ns for file in run.data.rglob("*")} == before


def test_a_port_in_use_is_reported(registry: HttpRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo ends with status 1, and the message names the port."""
    port = int(registry.config.url.rpartition(":")[2])
    assert command.main(exit_after=True, data=None, port=port) == 1
    assert f"127.0.0.1:{port}" in capsys.readouterr().err


def test_a_missing_extra_is_reported_in_one_sentence() -> None:
    """The message names the package to install; a traceback is not printed."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "The demo needs currency_converter: pip install 'model-registry-service[demo]'.\n"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_server_runs_until_a_stop_signal(ending: signal.Signals, tmp_path: Path) -> None:
    """The printed address and token work; after the signal the status is 0 and the data is removed."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as demo:
        try:
            assert demo.stdout is not None
            output = ""
            for line in demo.stdout:
                output += line
                if line.startswith("Press Ctrl-C"):
                    break
            exported = dict(re.findall(r"^export (REGISTRY_\w+)=(\S+)$", output, re.MULTILINE))
            [file] = re.findall(r"^The admin's token is in (.+)\.$", output, re.MULTILINE)
            assert re.findall(r"mrg_\w+", output) == [exported["REGISTRY_TOKEN"]]
            assert Path(file).read_text().strip() == exported["REGISTRY_TOKEN"]
            with HttpRegistry(RegistryConfig.from_environment(exported)) as registry:
                assert registry.principals.whoami().name == "admin"
                assert len(list(registry.models.search(stage="production"))) == 2
            for _ in range(2):
                demo.send_signal(ending)
            rest, errors = demo.communicate(timeout=30)
        finally:
            demo.kill()
    assert (demo.returncode, errors) == (0, "")
    assert "The server has stopped. Its data is removed." in rest
    assert list(tmp_path.iterdir()) == []
