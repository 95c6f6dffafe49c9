"""Limits of requests about blobs, and the answer that lists the missing blobs."""

from dataclasses import dataclass
from typing import Final

from common_lib.rules.fields import AnswerBody, Moment, Sha256

BLOBS_MEDIA_TYPE: Final = "application/vnd.model-registry.blobs"
# The digests of this many blobs fit into an event of 16 KiB.
MAX_BLOBS_PER_REQUEST: Final = 40
MAX_DIGESTS_PER_REQUEST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Presence(AnswerBody):
    """The requested blobs that the registry does not have; it retains the other blobs until `retained_until`."""

    missing: list[Sha256]
    retained_until: Moment
