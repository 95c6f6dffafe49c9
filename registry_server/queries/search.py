"""The search for models: scan one index in the requested order, and check the other conditions row by row.

Facets (type, owner, tags, stages) are in one table with two indexes: (facet, value, name) and (facet, value,
created_at, name). The search scans the facet that is probably the rarest, so a selective filter reads few rows even if
there are many models. A search is slow only if several facets are common but few models have all of them.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from registry_server.domain.base import to_micros
from registry_server.domain.models import ModelFilter
from registry_server.domain.pages import Order, Window
from registry_server.queries.sql import Row, Sql

_COMMON = 1_000


class Facet(NamedTuple):
    """A name and value, such as an owner or a tag, which a model must have exactly to be found."""

    name: str
    value: str


def facets_of(conditions: ModelFilter) -> list[Facet]:
    """Return the facets in the conditions of a search; those that are usually rare come first."""
    facets = [Facet(f"tag:{key}", value) for key, value in conditions.tags]
    if conditions.owner is not None:
        facets.append(Facet("owner", conditions.owner))
    if conditions.stage is not None:
        facets.append(Facet("stage", conditions.stage))
    if conditions.type is not None:
        facets.append(Facet("type", conditions.type))
    return facets


def starts_with(column: str, prefix: str, bind: Callable[[Any], str]) -> str:
    """Build a condition that a column begins with a prefix. Unlike LIKE, it can use an index and has no wildcards."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return f"({column} >= {bind(prefix)} AND {column} < {bind(end)})"


def name_matches(column: str, patterns: Sequence[str], bind: Callable[[Any], str]) -> str:
    """Build a condition that a lower-case name matches a pattern of a grant; the pattern `*` is not allowed here."""
    matches = (
        starts_with(column, pattern[:-1], bind) if pattern.endswith("*") else f"{column} = {bind(pattern)}"
        for pattern in patterns
    )
    return f"({' OR '.join(matches)})"


class Statement:
    """A SELECT under construction: the scanned table, the conditions, and the bound values."""

    def __init__(self, scanned: str, source: str) -> None:
        self._scanned = scanned
        self._source = source
        self._values: list[Any] = []
        self._where: list[str] = []

    def bind(self, value: Any) -> str:
        """Bind a value and return its placeholder."""
        self._values.append(value)
        return f"?{len(self._values)}"

    def require(self, *conditions: str) -> None:
        """Add conditions that every row must fulfil."""
        self._where += conditions

    def scan(self, driver: Facet, others: list[Facet]) -> None:
        """Scan the models that have the facet `driver`, and require that they also have the other facets."""
        self.require(f"d.facet = {self.bind(driver.name)}", f"d.value = {self.bind(driver.value)}")
        for facet in others:
            same = f"f.facet = {self.bind(facet.name)} AND f.value = {self.bind(facet.value)} AND f.name = d.name"
            # Without OFFSET 0 PostgreSQL would join two whole facets instead of checking row by row.
            self.require(f"EXISTS (SELECT 1 FROM model_facets f WHERE {same} LIMIT 1 OFFSET 0)")
        self.require("models.name = d.name")

    def filter(self, conditions: ModelFilter) -> None:
        """Add the conditions that are not facets."""
        if conditions.prefix:
            self.require(starts_with(f"{self._scanned}.name", conditions.prefix, self.bind))
        if conditions.created_from is not None:
            self.require(f"{self._scanned}.created_at >= {self.bind(to_micros(conditions.created_from))}")
        if conditions.created_before is not None:
            self.require(f"{self._scanned}.created_at < {self.bind(to_micros(conditions.created_before))}")
        if not conditions.tombstoned:
            self.require("models.tombstone IS NULL")
        if conditions.visible:
            self.require(name_matches("models.folded", conditions.visible, self.bind))

    def window(self, select: str, order: Order, window: Window) -> tuple[str, list[Any]]:
        """Return the statement for one window and the values to bind; it selects one row more than the window has."""
        scanned, direction = self._scanned, " DESC" if order.down else ""
        keys = [f"{scanned}.name"] if order.key == "name" else [f"{scanned}.created_at", f"{scanned}.name"]
        if window.after:
            marks = ", ".join(self.bind(value) for value in window.after)
            self.require(f"({', '.join(keys)}) {'<' if order.down else '>'} ({marks})")
        where = f" WHERE {' AND '.join(self._where)}" if self._where else ""
        ordered = ", ".join(key + direction for key in keys)
        # Not bound: a planner that does not know the limit reads and sorts all rows.
        limit = window.limit + 1
        return f"SELECT {select} FROM {self._source}{where} ORDER BY {ordered} LIMIT {limit}", self._values


async def search(sql: Sql, select: str, conditions: ModelFilter, order: Order, window: Window) -> list[Row]:
    """Return the rows of one window, and one more row if there is a next page."""
    facets = facets_of(conditions)
    if facets:
        driver = facets[0] if len(facets) == 1 else await _rarest(sql, facets)
        statement = Statement("d", "model_facets d CROSS JOIN models")
        statement.scan(driver, [facet for facet in facets if facet is not driver])
    else:
        statement = Statement("models", "models")
    statement.filter(conditions)
    text, values = statement.window(select, order, window)
    return list(await sql.fetch(text, *values))


async def _rarest(sql: Sql, facets: list[Facet]) -> Facet:
    found = ", ".join(
        f"(SELECT count(*) FROM (SELECT 1 FROM model_facets WHERE facet = ?{n} AND value = ?{n + 1}"
        f" LIMIT {_COMMON}) AS models{n})"
        for n in range(1, 2 * len(facets), 2)
    )
    (counts,) = await sql.fetch(f"SELECT {found}", *(part for facet in facets for part in facet))
    return min(zip(counts, facets, strict=True), key=itemgetter(0))[1]
