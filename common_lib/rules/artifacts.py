"""Blobs in requests: how many fit into one request, and which of them are missing."""

from dataclasses import dataclass
from typing import Final

from common_lib.rules.fields import AnswerBody, Moment, Sha256

BLOBS_MEDIA_TYPE: Final = "application/vnd.model-registry.blobs"
# As many as fit, with their digests, into an event of 16 KiB.
MAX_BLOBS_PER_REQUEST: Final = 40
MAX_DIGESTS_PER_REQUEST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Presence(AnswerBody):
    """The blobs that must still be sent; the registry retains the others for the caller until `retained_until`."""

    missing: list[Sha256]
    retained_until: Moment
