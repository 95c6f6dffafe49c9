"""Base classes of requests and answers, field types with limits, pages and tombstones."""

from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common_lib.errors import InvalidRequest
from common_lib.rules import names
from common_lib.rules.facts import check_facts
from common_lib.rules.fields import Moment, ShortText

T = TypeVar("T")

AliasName = Annotated[str, Field(pattern=names.ALIAS_NAME, max_length=names.SHORT_NAME_LENGTH)]
PrincipalName = Annotated[str, Field(pattern=names.PRINCIPAL_NAME, max_length=names.SHORT_NAME_LENGTH)]
ModelPattern = Annotated[str, Field(pattern=names.MODEL_PATTERN, max_length=names.NAME_LENGTH)]
Revision = Annotated[int, Field(ge=1, le=names.LARGEST_COUNT)]
Digest = Annotated[str, Field(pattern=names.DIGEST)]
PageToken = Annotated[str, Field(pattern=names.PAGE_TOKEN)]
Reason = Annotated[str, Field(max_length=names.REASON_LENGTH)]
Description = Annotated[str, Field(max_length=names.DESCRIPTION_LENGTH)]
_FACTS = ("owner", "framework", "description", "tags", "metadata", "parameters", "metrics")
_MAX_VALUE_TEXT = 200


class Value(BaseModel):
    """Base of the immutable answers of the registry.

    Raises:
        InvalidRequest: the constructor was called with a missing or wrong field.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, strict=True, extra="ignore", allow_inf_nan=False, regex_engine="python-re", protected_namespaces=()
    )

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise _invalid_request(error) from None

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Create an object of this class from JSON.

        Raises:
            InvalidRequest: the text is not JSON, or does not have the fields of this class.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise _invalid_request(error) from None

    # pydantic marks its own constructor like this. Without the mark, pydantic would call the constructor above for
    # every value inside an answer, one by one, instead of making all of them in Rust.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class RequestModel(Value):
    """Base of the immutable requests and their parts; unknown fields are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def check_rules(self) -> None:
        """Check the rules that a schema cannot express; the server checks the same rules.

        Raises:
            RuleViolation: a value breaks a rule.
        """
        present = {name: getattr(self, name) for name in _FACTS if name in self.model_fields_set}
        check_facts(**{name: value for name, value in present.items() if value is not None})


class Tombstone(Value):
    """When, by whom and why a model or version was taken out of use; its name or number is never used again."""

    at: Moment
    by: ShortText
    reason: Reason


class TombstoneRequest(RequestModel):
    """The request to take a model or version out of use."""

    reason: Reason


class Page(Value, Generic[T]):
    """One page of a list; `next_page_token` is null on the last page."""

    items: list[T]
    next_page_token: PageToken | None = None


def _invalid_request(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False)[0]
    field = ".".join(str(step) for step in first["loc"])
    if first["type"] == "missing":
        # For a missing field, pydantic's input is the whole object around it.
        return InvalidRequest(f"{field} is missing", code="invalid_request", remedy=f"pass {field}", field=field)
    return InvalidRequest(
        f"{field}: {first['msg']}, not {_format_value(first['input'])}",
        code="invalid_request",
        remedy="pass a value of the expected type",
        field=field,
        value=first["input"],
    )


def _format_value(value: object) -> str:
    try:
        return f"{value!r:.{_MAX_VALUE_TEXT}}"
    except ValueError:
        # Python does not format integers of more than 4,300 digits.
        return "a number with thousands of digits"
