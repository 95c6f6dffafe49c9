"""Windows on ordered lists: keyset pages, which neither skip nor repeat rows when others are added."""

from enum import StrEnum

from msgspec import Struct

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000


class Order(StrEnum):
    """How a list is sorted; a minus sorts down."""

    NAME = "name"
    NAME_DOWN = "-name"
    CREATED = "created_at"
    CREATED_DOWN = "-created_at"
    VERSION = "version"
    VERSION_DOWN = "-version"

    @property
    def key(self) -> str:
        """What is sorted by, without the direction."""
        return self.value.lstrip("-")

    @property
    def down(self) -> bool:
        """Whether the largest comes first."""
        return self.value.startswith("-")


class Window(Struct, frozen=True):
    """At most `limit` rows behind the row whose sort values are `after`."""

    limit: int
    after: tuple[str | int, ...] = ()
