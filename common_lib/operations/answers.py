"""Checks of an answer before the client uses it, and error texts for answers that do not come from a registry.

The client does not trust a server: answers contain names of files, addresses, sizes and cursors. The types of
`common_lib.types` limit each value. This module checks the rest: that an answer is about the requested object, that a
list ends, and which cause to name when something other than a registry has answered.
"""

import reprlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from common_lib.errors import ProtocolError
from common_lib.escapes import escape

T = TypeVar("T")
_MAX_VALUE: Final = 120
_MOST_EMPTY_PAGES: Final = 1_000
_CHECK: Final = "check that the address belongs to a registry, and whether client or server is older"
_BETWEEN: Final = "check REGISTRY_URL, HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY"
_CAUSES: Final[Mapping[int, tuple[str, str]]] = {
    407: ("a proxy requires a user name and a password", "add them to HTTP_PROXY, HTTPS_PROXY or ALL_PROXY"),
    413: ("a proxy before the registry refuses a body of that size", "raise the limit of the proxy"),
    502: ("a proxy before the registry cannot reach it", "check that the registry runs"),
    503: ("a proxy before the registry answers in its place", "check that the registry runs"),
    504: ("a proxy before the registry timed out", "check the load of the registry"),
}
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = _MAX_VALUE
_SHORT.maxlevel = 2


def shortened(value: object) -> str:
    """Format a value from a server: escaped, and never longer than a line."""
    try:
        return _SHORT.repr(value)[: 2 * _MAX_VALUE]
    except ValueError:
        # Python does not format integers of more than 4,300 digits.
        return "a number of thousands of digits"


def printable(text: str, limit: int) -> str:
    """Shorten a text from a server, and escape characters that could mislead a reader; line breaks stay."""
    return "\n".join(map(escape, text[:limit].split("\n")))


def about(read: Callable[[Any], T], **requested: Any) -> Callable[[Any], T]:
    """Return a reader that accepts only an answer with the requested values in the given fields.

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
    """Build the error for an answer with a value that a registry never sends."""
    return ProtocolError(
        f"the answer is wrong: {field} is {shortened(value)}: {why}; {_CHECK}", field=field, value=value
    )


def unreadable(kind: Any, answer: Any, first: Mapping[str, Any]) -> ProtocolError:
    """Build the error for an answer whose body is not of the expected type."""
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
    """Describe in one sentence an answer that does not come from a registry, its cause and the remedy."""
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
    """Refuse an answer that a proxy has compressed; the client requests identity encoding.

    Raises:
        ProtocolError: the answer is encoded.
    """
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        why = f"it is compressed ({shortened(encoding)}), although the client requests identity encoding"
        raise ProtocolError(f"{_what(answer)} cannot be read: {why}; switch off compression in the proxy")


class Cursor:
    """Memory of the pages of one list, to stop at a list whose pages repeat and never end."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._empty = 0

    def check(self, token: str, count: int) -> None:
        """Refuse a page that leads back to an earlier one, or that follows very many empty pages.

        Raises:
            ProtocolError: the list does not end.
        """
        self._empty = 0 if count else self._empty + 1
        key = hash(token)
        if key in self._seen or self._empty > _MOST_EMPTY_PAGES:
            raise wrong("next_page_token", token, "the list leads back to an earlier page and would never end")
        self._seen.add(key)
