"""Sort orders and page limits of lists. A new row never makes the next page skip or repeat a row."""

from enum import StrEnum

from msgspec import Struct

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000


class Order(StrEnum):
    """Field by which a list is sorted; a minus means descending order."""

    NAME = "name"
    NAME_DOWN = "-name"
    CREATED = "created_at"
    CREATED_DOWN = "-created_at"
    VERSION = "version"
    VERSION_DOWN = "-version"

    @property
    def key(self) -> str:
        """Name of the field by which the list is sorted."""
        return self.value.lstrip("-")

    @property
    def down(self) -> bool:
        """True if the list is sorted in descending order."""
        return self.value.startswith("-")


class Window(Struct, frozen=True):
    """The part of a list that a query reads: at most `limit` rows after the row with the sort values `after`."""

    limit: int
    after: tuple[str | int, ...] = ()
