"""The differences between the engines: all SQL is written once, with `?1` and in SQLite's dialect."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, NamedTuple, Protocol

Engine = Literal["sqlite", "postgres"]
Row = Sequence[Any]

_DIALECTS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB", "clustered": "WITHOUT ROWID"},
    "postgres": {"text": 'TEXT COLLATE "C"', "bytes": "BYTEA", "clustered": ""},
}


class Sql(Protocol):
    """A connection to either engine."""

    async def fetch_one(self, sql: str, *values: Any) -> Row | None:
        """Return the first row, or None; run on the event loop like `fetch_inline`."""

    async def fetch_inline(self, sql: str, *values: Any) -> Sequence[Row]:
        """Return all rows. Run on the event loop; only for statements that read a handful of rows."""

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        """Return all rows. On SQLite outside a transaction, run in a thread, so that other requests go on."""

    async def execute(self, sql: str, *values: Any) -> int:
        """Run the statement and return the number of rows it changed."""

    async def execute_many(self, sql: str, rows: Iterable[Row]) -> None:
        """Run the statement once for each row of values."""

    async def claim(self, name: str) -> bool:
        """Claim `name` until the transaction ends; return False if another process holds it."""


class Migration(NamedTuple):
    """One migration of the schema."""

    number: int
    name: str
    text: str


@lru_cache(maxsize=1_024)
def to_postgres(sql: str) -> str:
    """Return the statement with PostgreSQL's placeholders."""
    return re.sub(r"\?(\d+)", r"$\1", sql)


@lru_cache(maxsize=1_024)
def to_sqlite(sql: str) -> str:
    """Return the statement without row locks: SQLite has one writer."""
    return sql.replace(" FOR UPDATE", "").replace(" FOR SHARE", "")


def load_migrations(engine: Engine) -> list[Migration]:
    """Return all migrations in order, in the dialect of one engine."""
    folder = resources.files("registry_server.infrastructure") / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [Migration(int(f.name[:4]), f.name[5:-4], _for_engine(f.read_text("utf-8"), engine)) for f in files]


def _for_engine(text: str, engine: Engine) -> str:
    shared, *blocks = re.split(r"^-- only: (\w+)$", text, flags=re.MULTILINE)
    chosen = [block for name, block in zip(blocks[::2], blocks[1::2], strict=True) if name == engine]
    for word, meaning in _DIALECTS[engine].items():
        shared = shared.replace(f"{{{word}}}", meaning)
    return "\n".join([shared, *chosen])
