"""How old an answer a caller still takes when the registry does not answer, and how it is told.

```
FailClosed()                 nothing that is not fresh
ServeStale(max_age_s)        what was known lately, while nobody answers
KeepLastGood(max_age_s)      the same, also while the token is refused: an expired one must not stop trading
```

None of them covers up a decision of the registry: what is gone or taken out of use is refused under each.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from common_lib.config import check_seconds
from common_lib.errors import InvalidConfiguration

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Staleness:
    """What a caller puts up with: answers up to `max_age_s` seconds old, asked for in vain.

    Raises:
        InvalidConfiguration: `max_age_s` is no number, or negative.
    """

    max_age_s: float
    serve_on_auth_failure: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_seconds("max_age_s", self.max_age_s)
        if self.max_age_s < 0:
            raise InvalidConfiguration(f"max_age_s is {self.max_age_s!r}: it must be zero or more")


@dataclass(frozen=True, slots=True)
class FailClosed(Staleness):
    """Nothing that is not fresh: while nobody answers, the error is raised."""

    max_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ServeStale(Staleness):
    """While nobody answers, what was known up to `max_age_s` seconds ago."""

    max_age_s: float = _DAY_S


@dataclass(frozen=True, slots=True)
class KeepLastGood(Staleness):
    """While nobody answers, or the token is refused, what was known up to `max_age_s` seconds ago."""

    max_age_s: float
    serve_on_auth_failure: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How an answer is known.

    `source` is `registry`, `cache`, `snapshot`, the file that an earlier process left, or `files`, the fetched ones
    alone; `stale` tells that it is older than what counts as fresh, or of unknown age, which is infinite; `reason` why
    the registry was not heard.
    """

    stale: bool = False
    age_s: float = 0.0
    source: str = "registry"
    reason: str = ""

    def as_fields(self) -> dict[str, Any]:
        """The same as keywords, for a result that says it too."""
        return {"stale": self.stale, "age_s": self.age_s, "source": self.source, "reason": self.reason}
