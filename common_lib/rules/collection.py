"""Default waiting times of the garbage collection, and its result."""

from dataclasses import dataclass
from typing import Final

from common_lib.rules.fields import AnswerBody, Count

DAY_S: Final = 86_400
GRACE_S: Final = DAY_S
RETENTION_S: Final = 30 * DAY_S
TRASH_S: Final = 7 * DAY_S
# Ten years. A longer time must be a mistake.
LONGEST_S: Final = 10 * 366 * DAY_S


@dataclass(frozen=True, slots=True)
class Collection(AnswerBody):
    """The result of a garbage collection or a dry run: how many objects and bytes were removed, or would be removed."""

    dry_run: bool
    released_versions: Count = 0
    unreferenced_blobs: Count = 0
    removed_blobs: Count = 0
    removed_bytes: Count = 0
    orphan_files: Count = 0
    expired_uploads: Count = 0
    purged_files: Count = 0
    purged_bytes: Count = 0
