"""The answer about the progress of an upload in parts."""

from dataclasses import dataclass

from common_lib.rules.fields import AnswerBody, Count, Moment, Sha256


@dataclass(frozen=True, slots=True)
class Upload(AnswerBody):
    """Progress of an upload: how many bytes the registry has received, and whether the upload is complete."""

    sha256: Sha256
    size: Count
    received: Count
    complete: bool
    expires_at: Moment
