"""The rules for the age of stored answers that a caller accepts, and the provenance of an answer.

```
FailClosed()                 only fresh answers
ServeStale(max_age_s)        stored answers while the registry does not answer
KeepLastGood(max_age_s)      the same, also while the registry refuses the token, so that trading can continue
```

All rules obey the decisions of the registry: a version that is deleted or recalled is always refused.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from common_lib.config import check_seconds
from common_lib.errors import InvalidConfiguration

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Staleness:
    """The base class of the rules: stored answers up to `max_age_s` seconds old are accepted in an outage.

    Raises:
        InvalidConfiguration: `max_age_s` is not a number, or is negative.
    """

    max_age_s: float
    serve_on_auth_failure: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_seconds("max_age_s", self.max_age_s)
        if self.max_age_s < 0:
            raise InvalidConfiguration(f"max_age_s is {self.max_age_s!r}: it must be zero or more")


@dataclass(frozen=True, slots=True)
class FailClosed(Staleness):
    """The rule that accepts only fresh answers. While the registry does not answer, a call raises the error."""

    max_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ServeStale(Staleness):
    """The rule that accepts answers up to `max_age_s` seconds old while the registry does not answer."""

    max_age_s: float = _DAY_S


@dataclass(frozen=True, slots=True)
class KeepLastGood(Staleness):
    """The rule that accepts answers up to `max_age_s` seconds old while the registry is down or refuses the token."""

    max_age_s: float
    serve_on_auth_failure: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The source and the age of an answer.

    `source` is `registry`, `cache` (the memory of this process), `disk-cache` (a file of an earlier process), or
    `files` (files that were fetched before, without a registry). `stale` is True if the answer is too old to be fresh.
    If the age is unknown, `age_s` is infinite. `reason` is the error of the registry, if there was an error.
    """

    stale: bool = False
    age_s: float = 0.0
    source: str = "registry"
    reason: str = ""

    def as_fields(self) -> dict[str, Any]:
        """Return a dict of the fields, to pass them to a result type that has the same fields."""
        return {"stale": self.stale, "age_s": self.age_s, "source": self.source, "reason": self.reason}
