"""A limit on the memory that loading a file may take. The need is estimated from the bytes before they are loaded."""

import os
from typing import Final

from common_lib.errors import InvalidConfiguration, LoadRefused

VARIABLE: Final = "REGISTRY_LOAD_MEMORY"
LARGEST: Final = 8 * 2**30
_FLOOR: Final = 512 * 2**20
_RATIO: Final = 16


class OverBudget(LoadRefused):
    """The error that a file is not loaded, because its load would exceed the memory bound."""


class Budget:
    """A counter of the memory, in bytes, that loading one file takes; it raises when the bound is exceeded."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._spent = 0

    def spend(self, size: int, what: str) -> None:
        """Add `size` bytes to the memory that the load will take; `what` describes them for the error message.

        Raises:
            OverBudget: the total exceeds the bound.
        """
        self._spent += size
        if self._spent > self.bound:
            raise OverBudget(
                "the file",
                why=(
                    f"its load needs at least {self._spent:,} bytes of memory, with {what}; the bound is {self.bound:,}"
                ),
                remedy=f"if you trust its author, pass memory=… (in bytes), or set {VARIABLE}",
            )


def bound_for(size: int, memory: int | None = None) -> int:
    """Return how many bytes of memory may be used to load a file of `size` bytes.

    The bound is `memory` if it is given, otherwise `REGISTRY_LOAD_MEMORY` if it is set, otherwise 512 MiB plus 16 times
    the size of the file, at most 8 GiB.

    Raises:
        InvalidConfiguration: `memory` or `REGISTRY_LOAD_MEMORY` is not a positive whole number.

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
