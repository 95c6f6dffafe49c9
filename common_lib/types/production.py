"""Production; `common_lib.rules.production` has the answers about it, `common_lib.rules.promotion` the checks."""

from common_lib.rules.fields import VersionNumber
from common_lib.types.base import Reason, RequestModel


class RollbackRequest(RequestModel):
    """The request to return to the version that was in production before.

    `replacing` is the version that is in production now, null for none.
    """

    reason: Reason
    replacing: VersionNumber | None = None
