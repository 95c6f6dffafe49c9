"""The request to roll back the version in production."""

from common_lib.rules.fields import VersionNumber
from common_lib.types.base import Reason, RequestModel


class RollbackRequest(RequestModel):
    """The request to roll back: to return to the version that was in production before.

    `replacing` is the version that is in production now, null if production is empty.
    """

    reason: Reason
    replacing: VersionNumber | None = None
