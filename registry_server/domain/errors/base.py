"""The base class of all errors that the server sends to clients."""

from collections.abc import Mapping
from typing import Any

from common_lib.rules.codes import Code
from common_lib.rules.production import Winner


class RegistryError(Exception):
    """An error that the server sends to a client. `detail` says what is wrong, and `remedy` what to do.

    `value` of `field` is wrong; it replaces `{value}` in the texts of a class. `winner` is the decision that was made
    first, or None. `retry_after_s` is the number of seconds after which the client should repeat the request.
    `headers` are additional headers of the response.
    """

    code: Code
    detail: str
    remedy: str
    field: str | None = None
    winner: Winner | None = None
    retry_after_s: float | None = None
    headers: Mapping[str, str] = {}

    def __init_subclass__(cls, *, code: Code | None = None, field: str | None = None) -> None:
        if code is not None:
            cls.code = code
        cls.field = field or cls.field

    def __init__(self, value: Any = None, detail: str = "", remedy: str = "") -> None:
        self.value = value
        self.detail = detail or self.detail.format(value=value)
        self.remedy = remedy or self.remedy.format(value=value)
        super().__init__(self.detail)
