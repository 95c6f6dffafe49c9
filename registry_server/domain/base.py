"""Base classes of requests, pages and tombstones, and field types whose limits the server enforces and documents."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

from common_lib.rules import names
from common_lib.rules.references import MAX_VERSION

T = TypeVar("T")

ModelName = Annotated[str, Meta(pattern=names.MODEL_NAME, max_length=names.NAME_LENGTH)]
AliasName = Annotated[str, Meta(pattern=names.ALIAS_NAME, max_length=names.SHORT_NAME_LENGTH)]
PrincipalName = Annotated[str, Meta(pattern=names.PRINCIPAL_NAME, max_length=names.SHORT_NAME_LENGTH)]
ModelPattern = Annotated[str, Meta(pattern=names.MODEL_PATTERN, max_length=names.NAME_LENGTH)]
Sha256 = Annotated[str, Meta(pattern=names.SHA256)]
VersionNumber = Annotated[int, Meta(ge=1, le=MAX_VERSION)]
Revision = Annotated[int, Meta(ge=1, le=names.LARGEST_COUNT)]
Count = Annotated[int, Meta(ge=0, le=names.LARGEST_COUNT)]
Digest = Annotated[str, Meta(pattern=names.DIGEST)]
PageToken = Annotated[str, Meta(pattern=names.PAGE_TOKEN)]
Time = Annotated[datetime, Meta(tz=True)]
Reason = Annotated[str, Meta(max_length=names.REASON_LENGTH)]
Description = Annotated[str, Meta(max_length=names.DESCRIPTION_LENGTH)]
ShortText = Annotated[str, Meta(max_length=names.SHORT_TEXT_LENGTH)]
Scalar = str | int | float | bool | None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the bodies of requests; unknown fields are refused, because they are mistakes or attacks."""


class Tombstone(Struct, frozen=True):
    """When, by whom and why a model or version was taken out of use; its name or number is never used again."""

    at: Time
    by: ShortText
    reason: Reason


class TombstoneRequest(Request, frozen=True):
    """The request to take a model or version out of use."""

    reason: Reason


class Page(Struct, Generic[T], frozen=True):
    """One page of a list; `next_page_token` is null on the last page."""

    items: list[T]
    next_page_token: PageToken | None = None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(time: datetime) -> int:
    """Convert a time to the microseconds since 1970 in UTC, without rounding."""
    return (time - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Convert microseconds since 1970 in UTC to a time; the inverse of `to_micros`."""
    return _EPOCH + timedelta(microseconds=micros)
