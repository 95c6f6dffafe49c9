"""The shape of the database: tables, indexes and triggers that the migrations made and nobody may take away."""

import re

from registry_server.infrastructure.sql import Engine, Sql, migrations

_MADE = re.compile(r"^CREATE (?:UNIQUE )?(TABLE|INDEX|TRIGGER) (\w+)", re.MULTILINE)
_PRESENT = {
    "sqlite": "SELECT type, name FROM sqlite_master",
    "postgres": "SELECT 'table', tablename FROM pg_tables WHERE schemaname = current_schema()"
    " UNION ALL SELECT 'index', indexname FROM pg_indexes WHERE schemaname = current_schema()"
    # A trigger that is disabled ('D') is as good as dropped.
    " UNION ALL SELECT 'trigger', tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')",
}
_DEFINITIONS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"


async def missing(sql: Sql, engine: Engine) -> list[str]:
    """Return what the migrations made and the database no longer has, such as `trigger events_are_not_changed`."""
    present = {(str(row[0]), str(row[1])) for row in await sql.fetch(_PRESENT[engine])}
    wanted = [(kind.lower(), name) for step in migrations(engine) for kind, name in _MADE.findall(step.text)]
    found = [f"{kind} {name}" for kind, name in wanted if (kind, name) not in present]
    if engine == "sqlite":
        text = "\n".join(step.text for step in migrations(engine))
        for name, definition in await sql.fetch(_DEFINITIONS):
            if str(definition) not in text:
                found.append(f"trigger {name} as it was made")
    return found
