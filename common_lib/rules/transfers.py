"""How bytes travel: what one request may hold, and for how long the registry waits before it removes any."""

from typing import Final

BLOBS_MEDIA_TYPE: Final = "application/vnd.model-registry.blobs"
# As many as fit, with their digests, into an event of 16 KiB.
MAX_TOGETHER: Final = 40
MAX_ASKED: Final = 1_000

DAY_S: Final = 86_400
GRACE_S: Final = DAY_S
RETENTION_S: Final = 30 * DAY_S
TRASH_S: Final = 7 * DAY_S
# Ten years: a longer time is a slip of the keyboard.
LONGEST_S: Final = 10 * 366 * DAY_S
