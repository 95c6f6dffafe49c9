"""Field types with their limits, and the base of types that travel in answers only: one definition for both sides.

pydantic enforces the limits in the client. msgspec, in the server, ignores them: the server writes answers and does not
read them. The server's OpenAPI document takes the limits from here.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, get_args

from common_lib.rules import names
from common_lib.rules.references import MAX_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a field, for `Annotated`."""

    pattern: str | None = None
    max_length: int | None = None
    ge: Any = None
    le: Any = None
    lt: Any = None
    tz_constraint: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        """Add the limits to pydantic's schema of the type; pydantic calls this by name."""
        limits = {name: getattr(self, name) for name in self.__slots__}
        return {**handler(source), **{name: limit for name, limit in limits.items() if limit is not None}}

    @property
    def json_schema(self) -> dict[str, Any]:
        """The limits as keywords of JSON Schema."""
        if self.tz_constraint:
            return {"format": "date-time"}
        keywords = {"pattern": self.pattern, "maxLength": self.max_length, "minimum": self.ge, "maximum": self.le}
        return {keyword: limit for keyword, limit in keywords.items() if limit is not None}


def find_limits(hint: Any) -> list[Limits]:
    """Return the limits in a type hint: of the type itself, of the items of a list, or of an alternative to None."""
    own = [limits for limits in getattr(hint, "__metadata__", ()) if isinstance(limits, Limits)]
    return own + [limits for part in get_args(hint) for limits in find_limits(part)]


ModelName = Annotated[str, Limits(pattern=names.MODEL_NAME, max_length=names.NAME_LENGTH)]
Sha256 = Annotated[str, Limits(pattern=names.SHA256)]
VersionNumber = Annotated[int, Limits(ge=1, le=MAX_VERSION)]
Count = Annotated[int, Limits(ge=0, le=names.LARGEST_COUNT)]
ShortText = Annotated[str, Limits(max_length=names.SHORT_TEXT_LENGTH)]
Scalar = str | int | float | bool | None
# Within these years every time zone stays inside the years that Python knows.
Moment = Annotated[
    datetime,
    Limits(ge=datetime(2, 1, 1, tzinfo=UTC), lt=datetime(9999, 1, 1, tzinfo=UTC), tz_constraint="aware"),
]


class AnswerBody:
    """Base of the frozen dataclasses that the server answers with and the client reads; unknown fields are ignored."""

    __slots__ = ()
    # pydantic looks for this name.
    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "strict": True,
        "extra": "ignore",
        "allow_inf_nan": False,
        "regex_engine": "python-re",
    }
