"""The check of a refusal by a rule."""

from typing import Any

import pytest

from common_lib.rules.violation import RuleViolation


def refused(rule: Any, *values: Any) -> RuleViolation:
    """Return the violation that a rule raises for the values, after a check that its text is complete."""
    with pytest.raises(RuleViolation) as caught:
        rule(*values)
    violation = caught.value
    assert violation.code
    assert violation.field
    assert violation.why
    assert violation.remedy
    assert violation.remedy in str(violation)
    assert len(str(violation)) < 1_000
    return violation
