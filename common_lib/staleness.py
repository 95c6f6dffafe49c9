"""The age of answers that a caller accepts while the registry does not answer, and the provenance of an answer.

```
FailClosed()                 only fresh answers
ServeStale(max_age_s)        stored answers while the registry does not answer
KeepLastGood(max_age_s)      the same, also while the token is refused: an expired token must not stop trading
```

None of them hides a decision of the registry: a version that is deleted or out of use is refused under each.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from common_lib.config import check_seconds
from common_lib.errors import InvalidConfiguration

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Staleness:
    """The greatest age, in seconds, of a stored answer that a caller accepts while the registry does not answer.

    Raises:
        InvalidConfiguration: `max_age_s` is not a number, or negative.
    """

    max_age_s: float
    serve_on_auth_failure: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_seconds("max_age_s", self.max_age_s)
        if self.max_age_s < 0:
            raise InvalidConfiguration(f"max_age_s is {self.max_age_s!r}: it must be zero or more")


@dataclass(frozen=True, slots=True)
class FailClosed(Staleness):
    """Only fresh answers: while the registry does not answer, the error is raised."""

    max_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ServeStale(Staleness):
    """Answers up to `max_age_s` seconds old while the registry does not answer."""

    max_age_s: float = _DAY_S


@dataclass(frozen=True, slots=True)
class KeepLastGood(Staleness):
    """Answers up to `max_age_s` seconds old while the registry does not answer or refuses the token."""

    max_age_s: float
    serve_on_auth_failure: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The source and the age of an answer.

    `source` is `registry`; `cache`, the memory of this process; `disk-cache`, the file of an earlier process; or
    `files`, fetched files alone. `stale` is True if the answer is older than what counts as fresh, or of unknown age,
    which is infinite. `reason` says why the registry did not answer.
    """

    stale: bool = False
    age_s: float = 0.0
    source: str = "registry"
    reason: str = ""

    def as_fields(self) -> dict[str, Any]:
        """Return the fields as keywords, for a result that has the same fields."""
        return {"stale": self.stale, "age_s": self.age_s, "source": self.source, "reason": self.reason}
