"""`registry` during an outage: a stale answer with a warning, or an error."""

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
def stopped(tmp_path: Path, trained: Path) -> Cli:
    """Provide the program with a registry that has responded once and is stopped."""
    with running(Settings(data=tmp_path / "data", port=0, access_log=False)) as url:
        cli = Cli(url, (tmp_path / "data" / "admin-token").read_text().strip(), tmp_path / "data")
        cli("models", "create", "eurusd", "--type", "forecasting")
        cli("versions", "register", "eurusd", trained, "--framework", "json")
        cli("aliases", "set", "eurusd", "champion", "1")
        assert "stale" not in cli("download", CHAMPION).stderr
    return cli


def test_a_stale_answer_comes_with_a_warning(stopped: Cli) -> None:
    """The answer is on standard output, the warning on standard error; with --json both are JSON."""
    done = stopped("download", CHAMPION)
    assert Path(done.stdout.strip()).is_dir()
    line = done.stderr.splitlines()[0]
    assert line.startswith("! the registry did not respond; this is its answer from ")
    assert "ago (" in line
    done = stopped("download", CHAMPION, "--json")
    assert json.loads(done.stdout)["version"]["version"] == 1
    warning = json.loads(done.stderr)
    assert warning["code"] == "stale_answer"
    assert warning["age_s"] >= 0


def test_a_stale_answer_can_be_refused(stopped: Cli) -> None:
    """Both --fresh and REGISTRY_RESOLVE=off refuse it."""
    stopped("download", CHAMPION, "--fresh", status=5)
    stopped("download", CHAMPION, status=5, REGISTRY_RESOLVE="off")


def test_a_reference_that_was_never_resolved_is_an_error(stopped: Cli) -> None:
    """The exit status is that of an outage."""
    stopped("download", "models:/eurusd/latest", status=5)


def test_a_change_by_another_user_is_visible_at_once(version: str, cli: Cli) -> None:
    """Each command sends a request, although the previous answer is cached."""
    cli("aliases", "set", version, "champion", "1")
    assert cli.json("versions", "show", version, "@champion")["stage"] == "development"
    cli("stages", "set", version, "1", "staging")
    assert cli.json("versions", "show", version, "@champion")["stage"] == "staging"


def test_each_command_resolves_a_reference_anew(version: str, cli: Cli, sqlite_server: Server) -> None:
    """A command does not use the cached answer if another user has moved the alias."""
    reference = f"models:/{version}@champion"
    cli("aliases", "set", version, "champion", "1")
    assert cli.json("download", reference)["version"]["version"] == 1
    with sqlite_server.registry() as somebody:
        second = version_of(somebody, version)
        somebody.set_alias(version, "champion", second.version)
    assert cli.json("download", reference)["version"]["version"] == 2


def test_environment_variables_configure_the_client(cli: Cli, model: str) -> None:
    """An invalid value is a usage error."""
    cli("models", "show", model, REGISTRY_ATTEMPTS="1")
    warning = cli("models", "show", model, status=2, REGISTRY_ATTEMPTS="many")
    assert "REGISTRY_ATTEMPTS is 'many'" in warning.stderr
