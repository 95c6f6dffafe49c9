"""Checks of answers, and error texts for answers that do not come from a registry.

The client does not trust the server, because answers contain file names, addresses, sizes and cursors. The types in
`common_lib.types` limit each value. This module checks the rest: that an answer is about the requested object, that a
list has an end, and why an answer does not come from a registry.
"""

import reprlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from common_lib.errors import ProtocolError
from common_lib.escapes import escape

T = TypeVar("T")
_MAX_VALUE: Final = 120
_MOST_EMPTY_PAGES: Final = 1_000
_CHECK: Final = "check that the address belongs to a registry, and that client and server have the same version"
_BETWEEN: Final = "check REGISTRY_URL, HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY"
_CAUSES: Final[Mapping[int, tuple[str, str]]] = {
    407: ("a proxy requires a user name and a password", "add them to HTTP_PROXY, HTTPS_PROXY or ALL_PROXY"),
    413: ("a proxy in front of the registry refuses a body of this size", "raise the limit of the proxy"),
    502: ("a proxy in front of the registry cannot reach the registry", "check that the registry runs"),
    503: ("a proxy in front of the registry answered instead of the registry", "check that the registry runs"),
    504: ("a proxy in front of the registry timed out", "check the load of the registry"),
}
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = _MAX_VALUE
_SHORT.maxlevel = 2


def shortened(value: object) -> str:
    """Format a value from a server for an error text: escape it, and shorten it to one line."""
    try:
        return _SHORT.repr(value)[: 2 * _MAX_VALUE]
    except ValueError:
        # Python does not format integers of more than 4,300 digits.
        return "a number with thousands of digits"


def printable(text: str, limit: int) -> str:
    """Shorten a text from a server, and escape characters that could mislead a reader; line breaks stay."""
    return "\n".join(map(escape, text[:limit].split("\n")))


def about(read: Callable[[Any], T], **requested: Any) -> Callable[[Any], T]:
    """Return a reader that calls `read` and accepts only an answer with the requested values in the given fields.

    Raises:
        ProtocolError: the answer is about another object, for example because a proxy has mixed up answers.
    """

    def read_checked(answer: Any) -> T:
        found = read(answer)
        for field, wanted in requested.items():
            if (got := getattr(found, field)) != wanted:
                raise wrong(field, got, f"{wanted!r} was requested")
        return found

    return read_checked


def wrong(field: str, value: object, why: str) -> ProtocolError:
    """Build the error for an answer in which a field has a wrong value."""
    return ProtocolError(
        f"the answer is wrong: {field} is {shortened(value)}: {why}; {_CHECK}", field=field, value=value
    )


def unreadable(kind: Any, answer: Any, first: Mapping[str, Any]) -> ProtocolError:
    """Build the error for an answer whose body does not have the type `kind`; `first` is pydantic's first error."""
    media_type = answer.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if not first["loc"] and (first["type"] == "json_invalid" or media_type != "application/json"):
        return foreign(answer, "the body is not JSON in UTF-8")
    field = ".".join(str(step) for step in first["loc"])[: 2 * _MAX_VALUE]
    # For a missing field, pydantic's input is the whole object around it.
    value = None if first["type"] == "missing" else first["input"]
    text = "" if value is None else f", not {shortened(value)}"
    name = getattr(kind, "__name__", kind)
    return ProtocolError(
        f"the answer is not a {name}: {printable(field, _MAX_VALUE)}: {first['msg'][:_MAX_VALUE]}{text}; {_CHECK}",
        field=field,
        value=value,
    )


def foreign(answer: Any, why: str = "") -> ProtocolError:
    """Build the error for an answer that does not come from a registry."""
    return ProtocolError(sentence(answer, why))


def sentence(answer: Any, why: str = "") -> str:
    """Return an error text for an answer that does not come from a registry, with the cause and the remedy."""
    location = answer.headers.get("location")
    if 300 <= answer.status < 400 and location is not None:  # noqa: PLR2004 - redirects
        cause = f"it redirects to {shortened(without_userinfo(location))}"
        remedy = "redirects are not followed, because they would get the token: set REGISTRY_URL to the final address"
    else:
        cause, remedy = _CAUSES.get(answer.status, (why, _BETWEEN))
    return f"{_what(answer)} is not an answer of a registry{f': {cause}' if cause else ''}; {remedy}"


def _what(answer: Any) -> str:
    headers, words = answer.headers, [f"status {answer.status}"]
    words.append(f"with {printable(headers.get('content-type', ''), _MAX_VALUE) or 'no media type'}")
    if server := headers.get("server"):
        words.append(f"from {shortened(server)}")
    if answer.url:
        words.append(f"at {answer.url}")
    body = answer.body[:_MAX_VALUE].decode("utf-8", "replace")
    return " ".join(words) + (f", beginning {shortened(body)}," if body else ", without a body,")


def without_userinfo(url: str) -> str:
    """Return a URL without the user name and password in it."""
    scheme, slashes, rest = url.partition("://")
    if not slashes:
        return url
    authority, slash, path = rest.partition("/")
    return scheme + slashes + authority.rpartition("@")[2] + slash + path


def refuse_encoded(answer: Any) -> None:
    """Refuse an answer that a proxy has compressed, because the client requests uncompressed answers.

    Raises:
        ProtocolError: the answer is compressed.
    """
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        why = f"it is compressed ({shortened(encoding)}), although the client requests identity encoding"
        raise ProtocolError(f"{_what(answer)} cannot be read: {why}; switch off compression in the proxy")


class Cursor:
    """Record of the pages of a list that were read, to detect a list that repeats pages and never ends."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._empty = 0

    def check(self, token: str, count: int) -> None:
        """Raise an error if the next page was already read, or if too many pages were empty.

        Raises:
            ProtocolError: the list does not end.
        """
        self._empty = 0 if count else self._empty + 1
        key = hash(token)
        if key in self._seen or self._empty > _MOST_EMPTY_PAGES:
            raise wrong("next_page_token", token, "the list leads back to an earlier page and would never end")
        self._seen.add(key)
