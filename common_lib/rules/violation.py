"""The error that the shared rules of client and server raise."""

from typing import Any

from common_lib.rules.codes import Code


class RuleViolation(ValueError):
    """A value that breaks a rule of the registry.

    `code` is the stable code of the error. `value` of `field` breaks the rule. `why` says what is wrong, and `remedy`
    says what to do.
    """

    def __init__(self, code: Code, *, field: str, value: Any, why: str, remedy: str) -> None:
        self.code = code
        self.field = field
        self.value = value
        self.why = why
        self.remedy = remedy
        super().__init__(f"{self.detail}; {remedy}")

    @property
    def detail(self) -> str:
        """Text with the field, its value and what is wrong with the value."""
        return f"{self.field} {self.value!r:.200}: {self.why}"
