"""Table of the error class that the client raises for each error code of the registry."""

from collections.abc import Mapping
from typing import Final

from common_lib.errors.base import BY_CODE, BY_STATUS
from common_lib.errors.refused import InvalidRequest, RequestRefused
from common_lib.errors.unavailable import RateLimited, ServerFailed
from common_lib.rules.codes import Code

ErrorClass = type[RequestRefused] | type[RateLimited] | type[ServerFailed]
_SERVER_FAILURES: Final = 500


def class_of_status(status: int) -> ErrorClass:
    """Return the error class for an HTTP status; it is used for error codes that have no class of their own."""
    found: ErrorClass = BY_STATUS.get(status) or (ServerFailed if status >= _SERVER_FAILURES else InvalidRequest)
    return found


CODES: Final[Mapping[str, ErrorClass]] = {code: BY_CODE.get(code) or class_of_status(code.status) for code in Code}
