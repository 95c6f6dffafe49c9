"""Garbage collection: how long the registry waits before it removes bytes, and what it has removed."""

from dataclasses import dataclass
from typing import Final

from common_lib.rules.fields import AnswerBody, Count

DAY_S: Final = 86_400
GRACE_S: Final = DAY_S
RETENTION_S: Final = 30 * DAY_S
TRASH_S: Final = 7 * DAY_S
# Ten years: a longer time is a typing error.
LONGEST_S: Final = 10 * 366 * DAY_S


@dataclass(frozen=True, slots=True)
class Collection(AnswerBody):
    """The result of a collection, or of a dry run: counts, and bytes freed."""

    dry_run: bool
    released_versions: Count = 0
    unreferenced_blobs: Count = 0
    removed_blobs: Count = 0
    removed_bytes: Count = 0
    orphan_files: Count = 0
    expired_uploads: Count = 0
    purged_files: Count = 0
    purged_bytes: Count = 0
