"""The application over real sockets."""

from pathlib import Path

from common_lib import HttpRegistry, RegistryConfig
from registry_server.serving import running
from registry_server.settings import Settings


def test_a_server_without_configuration_serves_its_first_admin(tmp_path: Path) -> None:
    """The first start writes a token that only its owner can read, and the token works."""
    with running(Settings(data=tmp_path, port=0)) as url:
        file = tmp_path / "admin-token"
        assert file.stat().st_mode & 0o777 == 0o600
        with HttpRegistry(RegistryConfig(url=url, token=file.read_text().strip())) as registry:
            assert registry.principals.whoami().name == "admin"


def test_acknowledged_data_survives_a_restart(tmp_path: Path) -> None:
    """A second server on the same folder serves the data that the first one has acknowledged."""
    for start in range(2):
        with running(Settings(data=tmp_path, port=0)) as url:
            token = (tmp_path / "admin-token").read_text().strip()
            with HttpRegistry(RegistryConfig(url=url, token=token)) as registry:
                if start == 0:
                    registry.models.create("eurusd", "forecasting")
                assert registry.models.get("eurusd").revision == 1
