"""Settings of the server without an option are read from environment variables."""

from pathlib import Path

import httpx
import msgspec
import pytest
from click.testing import CliRunner

from registry_server.cli.program import program
from registry_server.settings import InvalidSetting, Settings, from_variables
from tests.support.cli import Serving


def test_a_limit_is_changed_by_a_variable(tmp_path: Path) -> None:
    """The server applies the limit; allowed hosts can be set by a variable too."""
    variables = {
        "REGISTRY_SERVER_MAX_OPEN_UPLOADS": "1",
        "REGISTRY_SERVER_ALLOWED_HOSTS": "registry.example, b.example",
    }
    with Serving(tmp_path / "data", **variables) as server:
        assert server.started()
        headers = {"authorization": f"Bearer {server.token}", "host": "registry.example"}
        with httpx.Client(base_url=server.url, headers=headers) as client:
            statuses = [client.put(f"/v1/uploads/{digit * 64}", json={"size": 5}).status_code for digit in ("a", "b")]
        assert statuses == [200, 429]


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        (
            "MAX_OPEN_UPLOADS",
            "many",
            "REGISTRY_SERVER_MAX_OPEN_UPLOADS is 'many': it must be a whole number of 0 or more",
        ),
        ("MAX_OPEN_UPLOADS", "1.5", "a whole number"),
        ("MAX_OPEN_UPLOADS", "-1", "a whole number"),
        ("MAX_CONNECTIONS", "0", "a whole number above 0"),
        ("HEAD_TIMEOUT_S", "nan", "a number above 0"),
        ("HEAD_TIMEOUT_S", "inf", "a number above 0"),
        ("HEAD_TIMEOUT_S", "1e999", "a number above 0"),
        ("MAX_BLOB_BYTES", "9" * 5_000, "a whole number above 0"),
        (
            "MAX_CONNECTION",
            "9",
            "REGISTRY_SERVER_MAX_CONNECTION is not a setting of the server; the settings are: allowed_hosts",
        ),
        ("MEMORY", "1", "is not a setting"),
        ("max_connections", "9", "is not a setting"),
    ],
)
def test_the_server_does_not_start_with_an_invalid_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    """The message names the variable and its allowed values; no folder is created."""
    monkeypatch.setenv(f"REGISTRY_SERVER_{name}", value)
    done = CliRunner().invoke(program, ["serve", "--data", str(tmp_path / "data")], env={"COLUMNS": "500"})
    assert done.exit_code == 2
    assert complaint in " ".join(done.output.replace("│", " ").split())
    assert not (tmp_path / "data").exists()


def test_every_setting_of_a_limit_can_be_set() -> None:
    """Each number has a variable with its name; an empty variable is ignored."""
    numbers = {f.name: f.type for f in msgspec.structs.fields(Settings) if f.type in {int, float} and f.name != "port"}
    for name, kind in numbers.items():
        assert from_variables({f"REGISTRY_SERVER_{name.upper()}": " 7 "}) == {name: kind(7)}
        assert from_variables({f"REGISTRY_SERVER_{name.upper()}": ""}) == {}
    assert from_variables({"HOME": "/", "REGISTRY_TOKEN": "x"}) == {}
    with pytest.raises(InvalidSetting, match="REGISTRY_SERVER_PORT is not a setting"):
        from_variables({"REGISTRY_SERVER_PORT": "1"})
