"""How much the signature of a version may hold."""

from typing import Final

MAX_FIELDS: Final = 256
MAX_DIMENSIONS: Final = 32
# -1 says that any length will do; beyond the largest, readers of JSON round.
ANY_LENGTH: Final = -1
MAX_LENGTH: Final = 2**53 - 1
