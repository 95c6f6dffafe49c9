"""Field types with limits, and the base class of types that occur only in answers.

Client and server share these definitions. In the client, pydantic enforces the limits. In the server, msgspec ignores
them, because the server never reads an answer; its OpenAPI document lists them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, get_args

from common_lib.rules import names
from common_lib.rules.references import MAX_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a field, used inside `Annotated`."""

    pattern: str | None = None
    max_length: int | None = None
    ge: Any = None
    le: Any = None
    lt: Any = None
    tz_constraint: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        """Add the limits to pydantic's schema of the type; pydantic calls this method."""
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
    """Return the limits in a type hint, including those of list items and of `X` in `X | None`."""
    own = [limits for limits in getattr(hint, "__metadata__", ()) if isinstance(limits, Limits)]
    return own + [limits for part in get_args(hint) for limits in find_limits(part)]


ModelName = Annotated[str, Limits(pattern=names.MODEL_NAME, max_length=names.NAME_LENGTH)]
Sha256 = Annotated[str, Limits(pattern=names.SHA256)]
VersionNumber = Annotated[int, Limits(ge=1, le=MAX_VERSION)]
Count = Annotated[int, Limits(ge=0, le=names.LARGEST_COUNT)]
ShortText = Annotated[str, Limits(max_length=names.SHORT_TEXT_LENGTH)]
Scalar = str | int | float | bool | None
# A time in these years is valid in Python in every time zone.
Moment = Annotated[
    datetime, Limits(ge=datetime(2, 1, 1, tzinfo=UTC), lt=datetime(9999, 1, 1, tzinfo=UTC), tz_constraint="aware")
]


class AnswerBody:
    """Base of the frozen dataclasses that the server sends in answers; the client ignores unknown fields."""

    __slots__ = ()
    # pydantic looks for this name.
    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "strict": True,
        "extra": "ignore",
        "allow_inf_nan": False,
        "regex_engine": "python-re",
    }
