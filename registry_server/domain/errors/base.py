"""The base of all errors that reach a client."""

from collections.abc import Mapping
from typing import Any

from common_lib.rules.codes import Code
from common_lib.rules.production import Winner
from common_lib.rules.violation import RuleViolation


class RegistryError(Exception):
    """A refusal or a failure: `code` is stable, `detail` is for people, `remedy` says what to do.

    `field` and `value` are what is wrong; the texts of a class may contain `{value}`. `winner` is the decision that
    came before the caller's, where a race was lost. `retry_after_s` says when it is worthwhile to repeat the request,
    and `headers` are further headers of the response.
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


class RuleBroken(RegistryError):
    """A value that breaks a rule which client and server share; the code is the one of the rule."""

    def __init__(self, violation: RuleViolation) -> None:
        self.code = violation.code
        self.field = violation.field
        super().__init__(violation.value, violation.detail, violation.remedy)
