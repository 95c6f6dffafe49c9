"""The one way a rule says no."""

from typing import Any


class RuleViolation(ValueError):
    """A value breaks a rule of the registry.

    Carries what a person needs to go on: the stable `code` of the rule, the `field` and the offending `value`,
    `why` it is refused and the `remedy`.
    """

    def __init__(self, code: str, *, field: str, value: Any, why: str, remedy: str) -> None:
        self.code = code
        self.field = field
        self.value = value
        self.why = why
        self.remedy = remedy
        super().__init__(f"{field} {value!r:.200}: {why}; {remedy}")
