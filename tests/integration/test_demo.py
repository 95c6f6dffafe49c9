"""The demo: what it shows is what the registry holds, and it says honestly what its models are worth."""

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


class Told(NamedTuple):
    """What a demo printed, its status, how long it took, and the folder that it left."""

    output: str
    status: int
    seconds: float
    data: Path

    @property
    def flat(self) -> str:
        """The output with every run of white space as one space, so that wrapped sentences are whole."""
        return " ".join(self.output.split())


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The demo, told once to a pipe."""
    data = tmp_path_factory.mktemp("demo") / "data"
    output = io.StringIO()
    begun = time.monotonic()
    with pytest.MonkeyPatch.context() as environment, contextlib.redirect_stdout(output):
        for forcing in ("FORCE_COLOR", "TTY_COMPATIBLE"):
            environment.delenv(forcing, raising=False)
        status = command.main(exit_after=True, data=data, port=0)
    return Told(output.getvalue(), status, time.monotonic() - begun, data)


@pytest.fixture
def registry(told: Told) -> Iterator[HttpRegistry]:
    """The registry that the demo left in its folder, of its admin."""
    with running(Settings(data=told.data, port=0, access_log=False)) as url:
        token = (told.data / "admin-token").read_text().strip()
        with HttpRegistry(RegistryConfig(url=url, token=token)) as registry:
            yield registry


@pytest.fixture(scope="module")
def trained() -> tuple[TrainedVersion, ...]:
    """The versions as anybody can train them again."""
    return train_all(euro_rates("USD"), seed=20230101)


def test_the_demo_ends_by_itself_within_a_minute(told: Told) -> None:
    """With `exit_after` its status is 0 and it waits for nobody."""
    assert told.status == 0
    assert told.seconds < 60


def test_the_output_reads_well_in_a_pipe(told: Told) -> None:
    """No line is wider than 100 columns, none carries a colour code, but for the last one, which names the folder."""
    *lines, last = told.output.splitlines()
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in told.output
    assert last == (f"The server has stopped. To use its data again: registry-server serve --data {told.data}")


def test_no_secret_is_printed_before_the_server_is_handed_over(told: Told) -> None:
    """Six tokens were at work, and none of them shows."""
    assert "mrg_" not in told.output


@pytest.mark.parametrize("model", [DIRECTION, VOLATILITY])
def test_each_model_has_three_versions_with_figures_origin_and_signature(
    model: str, told: Told, registry: HttpRegistry, trained: tuple[TrainedVersion, ...]
) -> None:
    """What the registry holds is what training gives again, and the table shows it."""
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
            rf"^v{version.version}  .* {figure:.3f} .* {digest}  {again.data_digest[:8]}", told.output, re.MULTILINE
        )


@pytest.mark.parametrize("model", [DIRECTION, VOLATILITY])
def test_each_production_version_replaced_another_and_is_the_champion(
    model: str, told: Told, registry: HttpRegistry
) -> None:
    """The better of two candidates is in production, the other one archived, the third where it began."""
    stages = {version.stage: version for version in registry.versions.search(model)}
    assert stages.keys() == {ModelStage.PRODUCTION, ModelStage.ARCHIVED, ModelStage.DEVELOPMENT}
    production = stages[ModelStage.PRODUCTION]
    assert registry.aliases.get(model, "champion").version == production.version
    assert f"v{production.version} production @champion" in told.flat
    assert f"v{stages[ModelStage.ARCHIVED].version} archived" in told.flat


@pytest.mark.parametrize("model", [DIRECTION, VOLATILITY])
def test_a_model_without_skill_is_said_to_have_none(
    model: str, told: Told, registry: HttpRegistry, trained: tuple[TrainedVersion, ...]
) -> None:
    """The sentence follows from the figures of the version in production, and from nothing else."""
    production = registry.resolve(f"models:/{model}/production")
    verdict = next(
        version.verdict
        for version in trained
        if version.model == model and version.metrics == pytest.approx(production.metrics)
    )
    assert production.description == verdict
    assert " ".join(verdict.split()[:4]) in told.flat
    assert (f"{model} has no skill on held-out days" in told.flat) == verdict.startswith("No skill")


def test_strategy_predicts_the_day_after_the_newest_rate(told: Told) -> None:
    """Both production models say something of it, each in its own unit."""
    after = f"first trading day after {euro_rates('USD').last_date}"
    assert re.search(r"EUR/USD is higher with probability 0\.\d{3}", told.flat)
    assert re.search(r"EUR/USD moves by \d\.\d\d% \(geometric mean\)", told.flat)
    assert f"forecasts the trading day after the newest rate, that of {euro_rates('USD').last_date}" in told.flat
    assert after in told.flat


def test_what_is_refused_is_shown_with_what_to_do(told: Told) -> None:
    """A missing right and an illegal move, each with its status, code and remedy."""
    assert "Refused: workbench promotes its own eurusd-volatility" in told.flat
    assert "403 forbidden: workbench lacks the right to promote" in told.flat
    assert "Refused: alice promotes eurusd-direction" in told.flat
    assert "409 illegal_transition" in told.flat
    assert "→ from development a version can move to archived or staging" in told.flat


def test_the_log_is_shown_whole(told: Told, registry: HttpRegistry) -> None:
    """Every event of the registry has its row: sequence, time, actor and type."""
    events = registry.events.after(0)
    assert len(events) > 30
    for event in events:
        time_and_actor = rf"{event.time:%H:%M:%S}\.\d{{3}}  {event.actor} +"
        kind = re.escape(event.type.removeprefix("registry."))
        assert re.search(rf"^ *{int(event.sequence)}  {time_and_actor}{kind} ", told.output, re.MULTILINE)
    promotions = [event for event in events if event.type == "registry.version.promoted"]
    assert {event.actor for event in promotions} == {"alice"}
    assert [event.data["judged"]["findings"][0]["met"] for event in promotions] == [True] * 4


def test_a_folder_in_use_is_left_alone(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo never writes into a registry that was there before."""
    before = {file: file.stat().st_mtime_ns for file in told.data.rglob("*")}
    assert command.main(exit_after=True, data=told.data, port=0) == 1
    assert capsys.readouterr().err == (
        f"{told.data} is not an empty folder: give --data a new folder, or omit it for a temporary one.\n"
    )
    assert {file: file.stat().st_mtime_ns for file in told.data.rglob("*")} == before


def test_a_port_in_use_is_named(registry: HttpRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo ends with status 1 and says which port it could not have."""
    port = int(registry.config.url.rpartition(":")[2])
    assert command.main(exit_after=True, data=None, port=port) == 1
    assert f"127.0.0.1:{port}" in capsys.readouterr().err


def test_a_missing_extra_is_named_in_one_sentence() -> None:
    """Somebody without the extra reads what to install, not a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "The demo needs currency_converter: pip install 'model-registry-service[demo]'.\n"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_server_is_yours_until_it_is_told_to_end(ending: signal.Signals, tmp_path: Path) -> None:
    """Its address and the admin's token work as printed; then it ends with status 0 and its data is gone."""
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
