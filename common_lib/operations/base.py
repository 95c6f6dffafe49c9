"""Operations and flows. An operation is one request with a reader of its answer; a flow is a sequence of operations."""

import uuid
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from common_lib.errors import CODES, InvalidRequest, RateLimited, RegistryError, ServerFailed, class_of_status
from common_lib.operations import answers
from common_lib.rules.names import check_text
from common_lib.rules.violation import RuleViolation
from common_lib.staleness import Provenance, Staleness
from common_lib.types.base import Page, RequestModel
from common_lib.types.problems import Problem

T = TypeVar("T")
V = TypeVar("V")
M = TypeVar("M", bound=RequestModel)
RouteClass = Literal["resolve", "read", "write", "blob"]
_TOO_MANY = 429
_MAX_VALUE_TEXT = 200
_MAX_TEXT = 10_000
_MAX_PROBLEM_TEXT = 2_000
# 206 carries the rest of bytes whose beginning is already here.
_WITH_BYTES = frozenset({200, 206})
_FROM_THE_REGISTRY = Provenance()


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, with header names in lower case; the body is empty if a sink received the bytes.

    `provenance` says whether the answer comes from a cache of this client. `url` is the requested address.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    provenance: Provenance = _FROM_THE_REGISTRY
    url: str = ""


class Sink(Protocol):
    """Receiver of the bytes of a successful answer."""

    @property
    def held(self) -> int:
        """Number of bytes received in earlier attempts; a new attempt requests only the bytes after them."""

    def begin(self, start: int) -> None:
        """Prepare to receive bytes from position `start`; discard what earlier attempts wrote after `start`."""

    def write(self, chunk: bytes) -> None:
        """Append the next bytes."""


@dataclass(frozen=True, slots=True)
class Source:
    """The part of a local file to send: `length` bytes from position `start`, or all bytes from there if it is None.

    While the file is read, `sent` is called with the current position; a repeated attempt starts again at `start`.
    """

    path: Path
    start: int = 0
    length: int | None = None
    sent: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One request, with a reader of its answer. Sending it several times has the same effect as sending it once.

    `staleness` is the maximum age of an answer from the cache; if it is None, the setting of the cache applies. If
    `eager` is true and the registry responds, the caller waits for a fresh answer.
    """

    method: str
    path: str
    read: Callable[[Answer], T]
    route_class: RouteClass = "read"
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    upload: Source | None = None
    sink: Sink | None = None
    staleness: Staleness | None = None
    eager: bool = False

    def result(self, answer: Answer) -> T:
        """Read an answer.

        Raises:
            RequestRefused: the registry refused the request.
            ServerFailed: the server failed.
            ProtocolError: the answer does not come from a registry.
        """
        if answer.status >= 300:  # noqa: PLR2004 - everything that is not a success
            raise refusal(answer)
        answers.refuse_encoded(answer)
        if self.sink is not None and answer.status not in _WITH_BYTES:
            raise answers.foreign(answer, "it does not contain the bytes of a file")
        return self.read(answer)

    @property
    def idempotency_key(self) -> str | None:
        """The Idempotency-Key of the request, with which the registry executes it only once, or None."""
        return dict(self.headers).get("idempotency-key")


@dataclass(frozen=True, slots=True)
class RunInThread(Generic[V]):
    """A step of a flow that reads or writes local files; the asynchronous client runs it in a thread."""

    work: Callable[[], V]


@dataclass(frozen=True, slots=True)
class Parallel(Generic[V]):
    """A step that runs flows concurrently, at most `max_concurrency` at a time; its result is the list of results.

    When a flow fails, no other flow is started. The error is raised after the running flows have ended.
    """

    flows: "Sequence[Flow[V]]"
    max_concurrency: int = 8


Flow = Generator[Operation[Any] | RunInThread[Any] | Parallel[Any], Any, T]


def path(*segments: str | int) -> str:
    """Build the path of a URL from segments; each segment is percent-encoded.

    Raises:
        InvalidRequest: a segment is `.` or `..`, which would change the path.
    """
    for segment in segments:
        if segment in {".", ".."}:
            raise InvalidRequest(
                f"{segment!r} cannot be a segment of a URL", code="invalid_path", remedy="use a name", value=segment
            )
    return "/v1/" + "/".join(quote(str(segment), safe="@") for segment in segments)


def validate(rule: Callable[[V], T], value: V) -> T:
    """Return the result of calling `rule` with `value`.

    Raises:
        InvalidRequest: the value breaks the rule; no request was sent.
    """
    try:
        return rule(value)
    except RuleViolation as violation:
        raise InvalidRequest.from_violation(violation) from None


def request_body(request: type[M], **fields: Any) -> bytes:
    """Build the JSON body of a request from the fields that are not None.

    Raises:
        InvalidRequest: a field is not valid; no request was sent.
    """
    value = request(**{name: field for name, field in fields.items() if field is not None})
    try:
        value.check_rules()
    except RuleViolation as violation:
        # The server writes the value as text too, so the error is the same whichever side refuses.
        violation.value = str(violation.value)[:_MAX_VALUE_TEXT]
        raise InvalidRequest.from_violation(violation) from None
    try:
        return value.model_dump_json(exclude_unset=True).encode()
    except ValueError as error:
        # pydantic notices a lone surrogate only when it encodes the text.
        raise InvalidRequest(f"the request cannot be written as JSON: {error}", code="invalid_json") from None


def one_of(field: str, kind: type[V], value: Any) -> V:
    """Convert an argument of the caller to a member of an enum.

    Raises:
        InvalidRequest: the enum has no such member.
    """
    try:
        return kind(value)  # type: ignore[call-arg]
    except ValueError:
        members = ", ".join(str(member) for member in kind)  # type: ignore[attr-defined]
        raise InvalidRequest(
            f"{field} {value!r:.200} is not a {kind.__name__}",
            code="invalid_request",
            remedy=f"use one of {members}",
            field=field,
            value=value,
        ) from None


def json_reader(kind: Any) -> Callable[[Answer], Any]:
    """Return a reader that parses the JSON body of an answer as the type `kind`."""
    adapter: TypeAdapter[Any] | None = None

    def read(answer: Answer) -> Any:
        nonlocal adapter
        # Built at first use, because most programs read only a few types of answers.
        adapter = adapter or TypeAdapter(kind)
        try:
            # A newer server may add fields, also to types that forbid unknown fields in requests.
            return adapter.validate_json(answer.body, extra="ignore")
        except ValidationError as error:
            raise answers.unreadable(kind, answer, error.errors(include_url=False)[0]) from None

    return read


def ignore_body(answer: Answer) -> None:
    """Check that an answer has no body.

    Raises:
        ProtocolError: the answer has a body, such as an error page of a proxy. The request may have been executed.
    """
    if answer.body:
        raise answers.foreign(answer, "it has a body, but this answer must not have a body")


def write_headers(revision: int | None = None, *, force: bool = False) -> tuple[tuple[str, str], ...]:
    """Build the headers of a write: a new idempotency key, and the revision that the write is based on."""
    headers = [("idempotency-key", uuid.uuid4().hex)]
    if force:
        headers.append(("if-match", "*"))
    elif revision is not None:
        headers.append(("if-match", f'"{revision}"'))
    return tuple(headers)


def query(**parameters: str | int | bool | Iterable[str] | None) -> tuple[tuple[str, str], ...]:
    """Build the query of a URL from the parameters that are not None."""
    pairs: list[tuple[str, str]] = []
    for name, value in parameters.items():
        if isinstance(value, bool):
            pairs += [(name, "true")] if value else []
        elif isinstance(value, str | int):
            pairs.append((name, str(value)))
        elif value is not None:
            pairs += [(name, one) for one in value]
    for name, text in pairs:
        validate(partial(check_text, name, limit=_MAX_TEXT), text)
    return tuple(pairs)


def next_page(
    operation: Operation[Page[V]], page: Page[V], cursor: "answers.Cursor | None" = None
) -> Operation[Page[V]] | None:
    """Return the operation that gets the page after `page`, or None if `page` is the last one.

    Raises:
        ProtocolError: the page leads back to an earlier one.
    """
    token = page.next_page_token
    if token is None:
        return None
    if ("page_token", token) in operation.query:
        raise answers.wrong("next_page_token", token, "it leads back to its own page")
    if cursor is not None:
        cursor.check(token, len(page.items))
    others = (pair for pair in operation.query if pair[0] != "page_token")
    return replace(operation, query=(*others, ("page_token", token)))


def refusal(answer: Answer) -> RegistryError:
    """Build the error to raise for an answer that is not successful."""
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        problem = Problem.model_validate_json(answer.body if media_type == "application/problem+json" else b"")
    except ValueError:
        if answer.status >= 500:  # noqa: PLR2004 - from here on, the server has failed
            return ServerFailed(answers.sentence(answer))
        if answer.status == _TOO_MANY:
            return RateLimited(answers.sentence(answer))
        return answers.foreign(answer)
    # The status of the answer decides; the one in the body is for people.
    kind = CODES.get(problem.code) or class_of_status(answer.status)
    detail = answers.printable(problem.detail, _MAX_PROBLEM_TEXT)
    remedy = answers.printable(problem.remedy, _MAX_PROBLEM_TEXT)
    if issubclass(kind, RateLimited):
        return kind(f"{detail}; {remedy} [{problem.code}, request {problem.request_id}]")
    if issubclass(kind, ServerFailed):
        return ServerFailed(f"{detail} [{problem.code}, request {problem.request_id}]")
    return kind(
        detail,
        code=problem.code,
        remedy=remedy,
        field=problem.field and answers.printable(problem.field, _MAX_PROBLEM_TEXT),
        value=problem.value and problem.value[:_MAX_PROBLEM_TEXT],
        status=answer.status,
        request_id=problem.request_id,
        winner=problem.winner,
    )
