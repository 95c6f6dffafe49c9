"""What one request is, and what its answer means."""

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
# Of a partial answer too: more of bytes whose beginning is here.
_WITH_BYTES = frozenset({200, 206})
_FROM_THE_REGISTRY = Provenance()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came: headers have lower-case names; the body is empty if it went into a sink.

    `provenance` is set by a cache of this client, never by the server; `url` is the requested endpoint.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    provenance: Provenance = _FROM_THE_REGISTRY
    url: str = ""


class Sink(Protocol):
    """Where the bytes of a successful answer go."""

    @property
    def held(self) -> int:
        """How many of the bytes came before; a new attempt asks for the rest only."""

    def begin(self, start: int) -> None:
        """Take what comes as the bytes behind the first `start`; forget what was held behind them."""

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes of a local file to be sent: `length` bytes from `start`, or all behind it.

    `sent` is told the position in the file as it is read, also when an attempt is repeated.
    """

    path: Path
    start: int = 0
    length: int | None = None
    sent: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One request and how to read its answer; it may be sent again and means the same.

    `staleness` says how old an answer the caller still takes; without it, whoever has a cache decides. Who is `eager`
    waits for the registry rather than take what is no longer fresh, as long as the registry answers.
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
        """What the answer means.

        Raises:
            RequestRefused: the registry said no.
            ServerFailed: the server failed.
            ProtocolError: it is no answer of a registry.
        """
        if answer.status >= 300:  # noqa: PLR2004 - everything that is not a success
            raise refusal(answer)
        answers.refuse_encoded(answer)
        if self.sink is not None and answer.status not in _WITH_BYTES:
            raise answers.foreign(answer, "it holds no bytes of a file")
        return self.read(answer)

    @property
    def idempotency_key(self) -> str | None:
        """The key under which the registry does it once; None for an operation that changes no rows."""
        return dict(self.headers).get("idempotency-key")


@dataclass(frozen=True, slots=True)
class Blocking(Generic[V]):
    """Work on local files within a flow; the asynchronous driver runs it in a thread."""

    work: Callable[[], V]


@dataclass(frozen=True, slots=True)
class Together(Generic[V]):
    """Flows that are run side by side, at most `at_once` of them; the answer is the list of what they return.

    When one of them fails, no more are begun, and its error is raised once those under way have ended.
    """

    flows: "Sequence[Flow[V]]"
    at_once: int = 8


Flow = Generator[Operation[Any] | Blocking[Any] | Together[Any], Any, T]


def path(*segments: str | int) -> str:
    """The path of an address, each segment quoted.

    Raises:
        InvalidRequest: a segment is `.` or `..`, which would lead to another address.
    """
    for segment in segments:
        if segment in {".", ".."}:
            raise InvalidRequest(
                f"{segment!r} is no part of an address", code="invalid_path", remedy="name something", value=segment
            )
    return "/v1/" + "/".join(quote(str(segment), safe="@") for segment in segments)


def checked(rule: Callable[[V], T], value: V) -> T:
    """What the rule makes of the value, if the value keeps it.

    Raises:
        InvalidRequest: it does not; nothing was sent.
    """
    try:
        return rule(value)
    except RuleViolation as violation:
        raise InvalidRequest.from_violation(violation) from None


def given(request: type[M], **fields: Any) -> bytes:
    """The body of a request out of those fields that are not None.

    Raises:
        InvalidRequest: a field is wrong; nothing was sent.
    """
    value = request(**{name: field for name, field in fields.items() if field is not None})
    try:
        value.check_rules()
    except RuleViolation as violation:
        # As the server would write it, so that an error is the same whichever side refuses.
        violation.value = str(violation.value)[:_MAX_VALUE_TEXT]
        raise InvalidRequest.from_violation(violation) from None
    try:
        return value.model_dump_json(exclude_unset=True).encode()
    except ValueError as error:
        # pydantic meets a lone surrogate only when it writes the text out.
        raise InvalidRequest(f"the request cannot be written as JSON: {error}", code="invalid_json") from None


def one_of(field: str, kind: type[V], value: Any) -> V:
    """The member of an enum that the caller gave as `field`.

    Raises:
        InvalidRequest: there is no such member.
    """
    try:
        return kind(value)  # type: ignore[call-arg]
    except ValueError:
        members = ", ".join(str(member) for member in kind)  # type: ignore[attr-defined]
        raise InvalidRequest(
            f"{field} {value!r:.200} is no {kind.__name__}",
            code="invalid_request",
            remedy=f"use one of {members}",
            field=field,
            value=value,
        ) from None


def reads(kind: Any) -> Callable[[Answer], Any]:
    """How to read an answer whose body is JSON of that type."""
    adapter: TypeAdapter[Any] | None = None

    def read(answer: Answer) -> Any:
        nonlocal adapter
        # Built at first use: an import must not pay for answers nobody asks for.
        adapter = adapter or TypeAdapter(kind)
        try:
            # A newer server may say more than we know, also in parts that are strict when we send them.
            return adapter.validate_json(answer.body, extra="ignore")
        except ValidationError as error:
            raise answers.unreadable(kind, answer, error.errors(include_url=False)[0]) from None

    return read


def nothing(answer: Answer) -> None:
    """Read an answer without a body.

    Raises:
        ProtocolError: it has one, such as the page of a proxy: then nothing shows that the request was carried out.
    """
    if answer.body:
        raise answers.foreign(answer, "it has a body where none is due")


def unsafe(revision: int | None = None, *, force: bool = False) -> tuple[tuple[str, str], ...]:
    """The headers of a change: a key that makes its repetition harmless, and the revision it is based on."""
    headers = [("idempotency-key", uuid.uuid4().hex)]
    if force:
        headers.append(("if-match", "*"))
    elif revision is not None:
        headers.append(("if-match", f'"{revision}"'))
    return tuple(headers)


def query(**parameters: str | int | bool | Iterable[str] | None) -> tuple[tuple[str, str], ...]:
    """The query of an address out of those parameters that are not None."""
    pairs: list[tuple[str, str]] = []
    for name, value in parameters.items():
        if isinstance(value, bool):
            pairs += [(name, "true")] if value else []
        elif isinstance(value, str | int):
            pairs.append((name, str(value)))
        elif value is not None:
            pairs += [(name, one) for one in value]
    for name, text in pairs:
        checked(partial(check_text, name, limit=_MAX_TEXT), text)
    return tuple(pairs)


def following(
    operation: Operation[Page[V]], page: Page[V], cursor: "answers.Cursor | None" = None
) -> Operation[Page[V]] | None:
    """Return the operation for the page behind this one, None behind the last; `cursor` knows the pages before.

    Raises:
        ProtocolError: the page leads back to one that came before.
    """
    token = page.next_page_token
    if token is None:
        return None
    if ("page_token", token) in operation.query:
        raise answers.wrong("next_page_token", token, "it leads to the page that it came with")
    if cursor is not None:
        cursor.check(token, len(page.items))
    kept = tuple(pair for pair in operation.query if pair[0] != "page_token")
    return replace(operation, query=(*kept, ("page_token", token)))


def refusal(answer: Answer) -> RegistryError:
    """Return the error that an answer other than a success stands for."""
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        problem = Problem.model_validate_json(answer.body if media_type == "application/problem+json" else b"")
    except ValueError:
        if answer.status >= 500:  # noqa: PLR2004 - the border between their fault and ours
            return ServerFailed(answers.sentence(answer))
        if answer.status == _TOO_MANY:
            return RateLimited(answers.sentence(answer))
        return answers.foreign(answer)
    # The status of the answer counts: the one in the body is for people.
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
