"""SQL is written once, with `?1` and SQLite's words; this is the little that differs between the engines."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, NamedTuple, Protocol

from registry_server.domain.errors import InvalidRequest

Engine = Literal["sqlite", "postgres"]
Row = Sequence[Any]

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB", "clustered": "WITHOUT ROWID"},
    "postgres": {"text": 'TEXT COLLATE "C"', "bytes": "BYTEA", "clustered": ""},
}


class Sql(Protocol):
    """A connection of either engine."""

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
    """One step of the schema."""

    number: int
    name: str
    text: str


def out_of_range() -> InvalidRequest:
    """Build the refusal of a number beyond 64 bits, which no engine stores.

    The types of requests and page tokens have limits of their own; this is for a number that escaped them.
    """
    return InvalidRequest(
        "a number is beyond 64 bits", remedy="send numbers between -2**63 and 2**63 - 1", field="number"
    )


@lru_cache(maxsize=1_024)
def postgres(sql: str) -> str:
    """The statement with PostgreSQL's placeholders."""
    return re.sub(r"\?(\d+)", r"$\1", sql)


@lru_cache(maxsize=1_024)
def sqlite(sql: str) -> str:
    """The statement without row locks: SQLite has one writer."""
    return sql.replace(" FOR UPDATE", "").replace(" FOR SHARE", "")


def migrations(engine: Engine) -> list[Migration]:
    """All steps of the schema in order, in the words of one engine."""
    folder = resources.files("registry_server.infrastructure") / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [Migration(int(f.name[:4]), f.name[5:-4], _for_engine(f.read_text("utf-8"), engine)) for f in files]


def _for_engine(text: str, engine: Engine) -> str:
    shared, *blocks = re.split(r"^-- only: (\w+)$", text, flags=re.MULTILINE)
    chosen = [block for name, block in zip(blocks[::2], blocks[1::2], strict=True) if name == engine]
    for word, meaning in _WORDS[engine].items():
        shared = shared.replace(f"{{{word}}}", meaning)
    return "\n".join([shared, *chosen])
