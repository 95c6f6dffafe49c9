"""The location of a store: the folders and the database that the settings select."""

from pathlib import Path

from registry_server.infrastructure.database_url import DatabaseUrl
from registry_server.infrastructure.dialects import Engine
from registry_server.invariants.store_marker import SQLITE_FILE
from registry_server.settings import Settings


class StoreLocation:
    """Paths of the data folder, the blob folder and the database, and how messages and commands display them."""

    def __init__(self, settings: Settings) -> None:
        self.data: Path = settings.data.absolute()
        # Resolved, so that a folder has one name, whichever links lead to it.
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
        """The command-line options that select this store, without the password of the database."""
        return f"--data {self.data}" + (" --database-url …" if self.database_url else "")

    @property
    def adopt_command(self) -> str:
        """The command with which an operator makes folder and database one store."""
        return f"`registry-server store adopt {self.options}`"
