"""The type of error responses (problems, RFC 9457)."""

from typing import Annotated

from pydantic import Field

from common_lib.rules import names
from common_lib.rules.production import Winner
from common_lib.types.base import Value


class Problem(Value):
    """An error response: why the registry refused a request or failed to execute it (RFC 9457)."""

    type: str
    title: str
    status: int
    code: Annotated[str, Field(pattern=names.CODE)]
    detail: str
    remedy: str
    request_id: Annotated[str, Field(pattern=names.REQUEST_ID)]
    field: str | None = None
    value: str | None = None
    winner: Winner | None = None
