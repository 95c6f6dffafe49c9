"""What `doctor` tells."""

from collections.abc import Callable
from typing import NamedTuple

# So many things are named one by one; of the others it is said how many they are.
NAMED = 5
Progress = Callable[[str], None]


class Finding(NamedTuple):
    """What was looked at, whether it is as it should be (None: could not be seen), and what was found."""

    what: str
    well: bool | None
    found: str
