"""`registry` while the registry does not answer: what it said before, told as such, or nothing."""

import json
from pathlib import Path

import pytest

from registry_server.serving import running
from registry_server.settings import Settings
from tests.conftest import Server
from tests.support.cli import Cli
from tests.support.steps import version_of

CHAMPION = "models:/eurusd@champion"


@pytest.fixture
def gone(tmp_path: Path, trained: Path) -> Cli:
    """The program with a registry that answered once, and is gone."""
    with running(Settings(data=tmp_path / "data", port=0, access_log=False)) as url:
        cli = Cli(url, (tmp_path / "data" / "admin-token").read_text().strip(), tmp_path / "data")
        cli("models", "create", "eurusd", "--type", "forecasting")
        cli("versions", "register", "eurusd", trained, "--framework", "json")
        cli("aliases", "set", "eurusd", "champion", "1")
        assert "stale" not in cli("download", CHAMPION).stderr
    return cli


def test_what_was_said_before_is_told_as_such(gone: Cli) -> None:
    """On standard output as ever, with a line on standard error; to machines as JSON."""
    shown = gone("download", CHAMPION)
    assert Path(shown.stdout.strip()).is_dir()
    line = shown.stderr.splitlines()[0]
    assert line.startswith("! the registry did not respond; this is its answer of ")
    assert "ago (" in line
    shown = gone("download", CHAMPION, "--json")
    assert json.loads(shown.stdout)["version"]["version"] == 1
    told = json.loads(shown.stderr)
    assert told["code"] == "stale_answer"
    assert told["age_s"] >= 0


def test_who_insists_on_a_fresh_answer_gets_none(gone: Cli) -> None:
    """By --fresh, or REGISTRY_RESOLVE=off."""
    gone("download", CHAMPION, "--fresh", status=5)
    gone("download", CHAMPION, status=5, REGISTRY_RESOLVE="off")


def test_what_was_never_asked_for_is_not_known(gone: Cli) -> None:
    """The same error as ever."""
    gone("download", "models:/eurusd/latest", status=5)


def test_a_change_by_somebody_else_is_seen_at_once(version: str, cli: Cli) -> None:
    """Each command asks, whatever the last one was told."""
    cli("aliases", "set", version, "champion", "1")
    assert cli.json("versions", "show", version, "@champion")["stage"] == "development"
    cli("stages", "set", version, "1", "staging")
    assert cli.json("versions", "show", version, "@champion")["stage"] == "staging"


def test_a_reference_is_asked_for_each_time(version: str, cli: Cli, sqlite_server: Server) -> None:
    """A command does not repeat the answer of the last one if somebody moved the reference meanwhile."""
    reference = f"models:/{version}@champion"
    cli("aliases", "set", version, "champion", "1")
    assert cli.json("download", reference)["version"]["version"] == 1
    with sqlite_server.registry() as somebody:
        second = version_of(somebody, version)
        somebody.set_alias(version, "champion", second.version)
    assert cli.json("download", reference)["version"]["version"] == 2


def test_the_environment_is_heard(cli: Cli, model: str) -> None:
    """All of it; what is nonsense there is a wrong command line."""
    cli("models", "show", model, REGISTRY_ATTEMPTS="1")
    told = cli("models", "show", model, status=2, REGISTRY_ATTEMPTS="many")
    assert "REGISTRY_ATTEMPTS is 'many'" in told.stderr
