"""The place that is checked: the folder and the database of one set of settings."""

from pathlib import Path

from registry_server.infrastructure.database_url import DatabaseUrl
from registry_server.infrastructure.sql import Engine
from registry_server.invariants.marker import SQLITE_FILE
from registry_server.settings import Settings


class Site:
    """Where folder, bytes and database are, and how they are named in messages and commands."""

    def __init__(self, settings: Settings) -> None:
        self.data: Path = settings.data.absolute()
        # The same folder has one name, by whatever links it is reached.
        self.folder = str(self.data.resolve())
        self.blobs = self.data / "blobs"
        self.file = self.data / SQLITE_FILE
        self.database_url = settings.database_url
        self.engine: Engine = "postgres" if settings.database_url else "sqlite"
        self.database = (
            DatabaseUrl.parse(settings.database_url).display_name if settings.database_url else str(self.file)
        )

    @property
    def options(self) -> str:
        """The options of a command for this place, without the database's password."""
        return f"--data {self.data}" + (" --database-url …" if self.database_url else "")

    @property
    def adopt(self) -> str:
        """The command that makes folder and database one store from now on."""
        return f"`registry-server store adopt {self.options}`"
