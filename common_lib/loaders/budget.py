"""The memory bound of a load: the same for all formats, and computed from the bytes before memory is allocated."""

import os
from typing import Final

from common_lib.errors import InvalidConfiguration, LoadRefused

VARIABLE: Final = "REGISTRY_LOAD_MEMORY"
LARGEST: Final = 8 * 2**30
_FLOOR: Final = 512 * 2**20
_RATIO: Final = 16


class OverBudget(LoadRefused):
    """A file is refused because its load would exceed the memory bound."""


class Budget:
    """The memory that the load of one file may still take, in bytes."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._spent = 0

    def spend(self, size: int, what: str) -> None:
        """Count memory that the load will allocate.

        Raises:
            OverBudget: it exceeds what is left.
        """
        self._spent += size
        if self._spent > self.bound:
            raise OverBudget(
                "the file",
                why=f"its load takes at least {self._spent:,} bytes of memory with {what}; the bound is {self.bound:,}",
                remedy=f"if you know who made it and have the memory, pass memory=… or set {VARIABLE}, in bytes",
            )


def bound_for(size: int, memory: int | None = None) -> int:
    """Choose how many bytes of memory the load of a file of `size` bytes may take.

    The bound is `memory` if the caller gives it, else `REGISTRY_LOAD_MEMORY`, else 512 MiB plus 16 times the size of
    the file, at most 8 GiB.

    Raises:
        InvalidConfiguration: the argument or the variable is not a positive whole number.

    >>> bound_for(60_000) == 512 * 2**20 + 16 * 60_000
    True
    """
    given, name = (memory, "memory") if memory is not None else (os.environ.get(VARIABLE) or None, VARIABLE)
    if given is None:
        return min(_FLOOR + _RATIO * size, LARGEST)
    number = int(given) if isinstance(given, str) and given.isdecimal() and len(given) < 20 else given  # noqa: PLR2004 - fits
    if isinstance(number, bool) or not isinstance(number, int) or number <= 0:
        raise InvalidConfiguration(f"{name} is {given!r:.50}: it must be a positive whole number of bytes")
    return number
