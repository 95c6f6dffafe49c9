"""Translates SQL for each engine: all statements are written once, in SQLite's dialect with placeholders like `?1`."""

import re
from functools import lru_cache
from importlib import resources
from typing import Literal, NamedTuple

Engine = Literal["sqlite", "postgres"]

_DIALECTS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB", "clustered": "WITHOUT ROWID"},
    "postgres": {"text": 'TEXT COLLATE "C"', "bytes": "BYTEA", "clustered": ""},
}


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
