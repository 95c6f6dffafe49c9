"""What the registry gives and takes, as frozen pydantic values.

Answers ignore fields they do not know, so that an older client survives a newer server; what is sent is strict.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from common_lib.errors import InvalidRequest, Winner
from common_lib.rules import names, signatures
from common_lib.rules.lifecycle import ModelStage, ModelType
from common_lib.rules.references import MAX_VERSION

T = TypeVar("T")

ModelName = Annotated[str, Field(pattern=names.MODEL_NAME, max_length=names.NAME_LENGTH)]
AliasName = Annotated[str, Field(pattern=names.ALIAS_NAME, max_length=names.SHORT_NAME_LENGTH)]
PrincipalName = Annotated[str, Field(pattern=names.PRINCIPAL_NAME, max_length=names.SHORT_NAME_LENGTH)]
ModelPattern = Annotated[str, Field(pattern=names.MODEL_PATTERN, max_length=names.NAME_LENGTH)]
Sha256 = Annotated[str, Field(pattern=names.SHA256)]
MediaType = Annotated[str, Field(pattern=names.MEDIA_TYPE, max_length=names.NAME_LENGTH)]
VersionNumber = Annotated[int, Field(ge=1, le=MAX_VERSION)]
Dimension = Annotated[int, Field(ge=signatures.ANY_LENGTH, le=signatures.MAX_LENGTH)]
Revision = Annotated[int, Field(ge=1, le=names.LARGEST_COUNT)]
Count = Annotated[int, Field(ge=0, le=names.LARGEST_COUNT)]
Digest = Annotated[str, Field(pattern=names.DIGEST)]
PageToken = Annotated[str, Field(pattern=names.PAGE_TOKEN)]
# Within these years no time zone takes it beyond those that Python knows.
Moment = Annotated[
    AwareDatetime,
    Field(ge=datetime(2, 1, 1, tzinfo=UTC), lt=datetime(9999, 1, 1, tzinfo=UTC)),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Reason = Annotated[str, Field(max_length=names.REASON_LENGTH)]
Description = Annotated[str, Field(max_length=names.DESCRIPTION_LENGTH)]
ShortText = Annotated[str, Field(max_length=names.SHORT_TEXT_LENGTH)]
Scalar = str | int | float | bool | None


class Value(BaseModel):
    """A frozen answer of the registry.

    Raises:
        InvalidRequest: made by hand, with a field that is missing or wrong.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, strict=True, extra="ignore", allow_inf_nan=False, regex_engine="python-re", protected_namespaces=()
    )

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise _refused(error) from None

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """The value that a JSON document writes out.

        Raises:
            InvalidRequest: it writes out none.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise _refused(error) from None

    # pydantic marks its own constructor like this. Without the mark it would call this one for every value that it
    # finds in an answer or within another value, one by one, instead of making them all in Rust.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class Given(Value):
    """A frozen part of a request; a field it does not know is a mistake."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def keep_rules(self) -> None:
        """Check what a schema cannot say, by the rules that the server checks too; a part of a request has none.

        Raises:
            RuleViolation: a value breaks a rule.
        """


class Tombstone(Value):
    """Why, when and by whom something was taken out of use; its number or name is never given again."""

    at: Moment
    by: ShortText
    reason: Reason


class RegisteredModel(Value):
    """A named model; its versions are numbered 1, 2, 3 … without gap."""

    name: ModelName
    type: ModelType
    owner: ShortText
    description: Description
    tags: dict[str, str]
    metadata: dict[str, Scalar]
    latest_version: Count
    production_version: VersionNumber | None
    revision: Revision
    created_by: ShortText
    created_at: Moment
    updated_at: Moment
    tombstone: Tombstone | None


class FieldSpec(Given):
    """One input or output of a model: its name, element type and shape (-1 for any length)."""

    name: ShortText
    dtype: ShortText
    shape: Annotated[list[Dimension], Field(max_length=signatures.MAX_DIMENSIONS)] = []


class Signature(Given):
    """What a model takes and what it gives."""

    inputs: Annotated[list[FieldSpec], Field(max_length=signatures.MAX_FIELDS)]
    outputs: Annotated[list[FieldSpec], Field(max_length=signatures.MAX_FIELDS)]


class Lineage(Given):
    """Where a version comes from; `parent` is the reference of the version it was derived from."""

    run: ShortText | None = None
    code_commit: ShortText | None = None
    data_digest: ShortText | None = None
    parent: ShortText | None = None


class Recall(Value):
    """Why, when and by whom a version was blocked for everyone."""

    at: Moment
    by: ShortText
    reason: Reason


class ModelVersion(Value):
    """One version of a model; `digest` is the identity of its manifest, `size` the bytes of all its files."""

    model: ModelName
    version: VersionNumber
    stage: ModelStage
    digest: Digest
    size: Count
    file_count: Count
    framework: ShortText
    description: Description
    parameters: dict[str, Scalar]
    metrics: dict[str, float]
    signature: Signature | None
    lineage: Lineage | None
    tags: dict[str, str]
    revision: Revision
    created_by: ShortText
    created_at: Moment
    updated_at: Moment
    tombstone: Tombstone | None
    recall: Recall | None = None

    @property
    def reference(self) -> str:
        """The reference that always means this version."""
        return f"models:/{self.model}/{self.version}"


class FileEntry(Given):
    """One file of a manifest: its path within the version, its size in bytes, its digest and media type."""

    path: Annotated[str, Field(max_length=names.PATH_LENGTH)]
    size: Count
    sha256: Sha256
    media_type: MediaType = "application/octet-stream"


class Manifest(Value):
    """The files of a version, sorted by path, and the digest over them."""

    digest: Digest
    files: list[FileEntry]


class Alias(Value):
    """A pointer to a version of a model, moved by compare-and-set on its revision."""

    model: ModelName
    alias: AliasName
    version: VersionNumber
    revision: Revision
    updated_by: ShortText
    updated_at: Moment


class Page(Value, Generic[T]):
    """One page of a list; `next_page_token` is null on the last one."""

    items: list[T]
    next_page_token: PageToken | None = None


class Event(Value):
    """One change of state, as CloudEvents 1.0 tells it; `data` holds `before`, `after`, `reason` and `forced`."""

    id: str
    sequence: Annotated[str, Field(pattern=names.SEQUENCE)]
    type: str
    subject: str
    time: Moment
    actor: str
    requestid: str
    source: str
    data: dict[str, Any]


class Problem(Value):
    """Why the registry said no (RFC 9457)."""

    type: str
    title: str
    status: int
    code: Annotated[str, Field(pattern=names.CODE)]
    detail: str
    remedy: str
    request_id: Annotated[str, Field(pattern=names.REQUEST_ID)]
    field: str | None = None
    value: str | None = None
    winner: Winner | None = None


def _refused(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False)[0]
    field = ".".join(str(step) for step in first["loc"])
    if first["type"] == "missing":
        # What pydantic shows here is all that stands around the field.
        return InvalidRequest(f"{field} is missing", code="invalid_request", remedy=f"pass {field}", field=field)
    return InvalidRequest(
        f"{field}: {first['msg']}, not {_shown(first['input'])}",
        code="invalid_request",
        remedy="pass a value of that kind",
        field=field,
        value=first["input"],
    )


def _shown(value: object) -> str:
    try:
        return f"{value!r:.200}"
    except ValueError:
        # Python writes out no integer of more than 4,300 digits.
        return "a number of thousands of digits"
