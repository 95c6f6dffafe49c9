"""Checks that the database still has all tables, indexes and triggers that the migrations created."""

import re

from registry_server.infrastructure.dialects import Engine, load_migrations
from registry_server.queries.sql import Sql

_CREATED = re.compile(r"^CREATE (?:UNIQUE )?(TABLE|INDEX|TRIGGER) (\w+)", re.MULTILINE)
_PRESENT = {
    "sqlite": "SELECT type, name FROM sqlite_master",
    "postgres": "SELECT 'table', tablename FROM pg_tables WHERE schemaname = current_schema()"
    " UNION ALL SELECT 'index', indexname FROM pg_indexes WHERE schemaname = current_schema()"
    # A disabled trigger ('D') counts as missing.
    " UNION ALL SELECT 'trigger', tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')",
}
_DEFINITIONS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"


async def find_missing(sql: Sql, engine: Engine) -> list[str]:
    """Return the objects that the database lacks, such as `trigger events_are_not_changed`."""
    present = {(str(row[0]), str(row[1])) for row in await sql.fetch(_PRESENT[engine])}
    required = [(kind.lower(), name) for step in load_migrations(engine) for kind, name in _CREATED.findall(step.text)]
    lacking = [f"{kind} {name}" for kind, name in required if (kind, name) not in present]
    if engine == "sqlite":
        text = "\n".join(step.text for step in load_migrations(engine))
        for name, definition in await sql.fetch(_DEFINITIONS):
            if str(definition) not in text:
                lacking.append(f"trigger {name} with its original definition")
    return lacking
