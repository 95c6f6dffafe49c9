"""Windows of ordered lists: keyset pages, which neither skip nor repeat rows while rows are added."""

from enum import StrEnum

from msgspec import Struct

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000


class Order(StrEnum):
    """Order of a list; a minus sorts in descending order."""

    NAME = "name"
    NAME_DOWN = "-name"
    CREATED = "created_at"
    CREATED_DOWN = "-created_at"
    VERSION = "version"
    VERSION_DOWN = "-version"

    @property
    def key(self) -> str:
        """The field of the order, without the direction."""
        return self.value.lstrip("-")

    @property
    def down(self) -> bool:
        """True for descending order."""
        return self.value.startswith("-")


class Window(Struct, frozen=True):
    """At most `limit` rows that follow the row whose sort values are `after`."""

    limit: int
    after: tuple[str | int, ...] = ()
