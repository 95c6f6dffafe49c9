"""Checks of an answer before anything in it is used, and the sentences for an answer that is something else.

A server is not trusted: what it sends becomes names of files, addresses, sizes and cursors. The types of
`common_lib.types` define what each value may look like; here is the rest: that an answer is about what was asked for,
that a list ends, and a sentence that names the cause when something other than a registry has answered.
"""

import reprlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from common_lib.errors import ProtocolError
from common_lib.escapes import escape

T = TypeVar("T")
_SHOWN: Final = 120
_MOST_EMPTY_PAGES: Final = 1_000
_CHECK: Final = "check that the address is that of a registry, and whose version is newer"
_BETWEEN: Final = "check REGISTRY_URL, and what HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say"
_CAUSES: Final[Mapping[int, tuple[str, str]]] = {
    407: ("a proxy asks for a name and a password", "put them into HTTP_PROXY, HTTPS_PROXY or ALL_PROXY"),
    413: ("something before the registry, such as a proxy, refuses a body of that size", "raise its limit"),
    502: ("something before the registry, such as a proxy, does not reach it", "look whether the registry runs"),
    503: ("something before the registry, such as a proxy, answers in its place", "look whether the registry runs"),
    504: ("something before the registry, such as a proxy, waited too long for it", "look at the registry's load"),
}
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = _SHOWN
_SHORT.maxlevel = 2


def shortened(value: object) -> str:
    """Write a value of a server out: escaped, and never longer than a line."""
    try:
        return _SHORT.repr(value)[: 2 * _SHOWN]
    except ValueError:
        # Python writes out no integer of more than 4,300 digits.
        return "a number of thousands of digits"


def printable(text: str, limit: int) -> str:
    """Shorten a text of a server, and escape what could mislead a reader; its lines stay lines."""
    return "\n".join(map(escape, text[:limit].split("\n")))


def about(read: Callable[[Any], T], **asked: Any) -> Callable[[Any], T]:
    """Return a reader that accepts only an answer whose fields are those that were asked for.

    Raises:
        ProtocolError: the answer is about something else, as one that a proxy has mixed up.
    """

    def read_checked(answer: Any) -> T:
        found = read(answer)
        for field, wanted in asked.items():
            if (got := getattr(found, field)) != wanted:
                raise wrong(field, got, f"{wanted!r} was asked for")
        return found

    return read_checked


def wrong(field: str, value: object, why: str) -> ProtocolError:
    """Return the error of an answer with a value that no registry sends."""
    return ProtocolError(
        f"the answer is wrong: {field} is {shortened(value)}: {why}; {_CHECK}", field=field, value=value
    )


def unreadable(kind: Any, answer: Any, first: Mapping[str, Any]) -> ProtocolError:
    """Return the error of an answer whose body is not what it should be."""
    media_type = answer.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if not first["loc"] and (first["type"] == "json_invalid" or media_type != "application/json"):
        return foreign(answer, "the body is not JSON in UTF-8")
    field = ".".join(str(step) for step in first["loc"])[: 2 * _SHOWN]
    # For a field that is missing, the input is everything around it.
    value = None if first["type"] == "missing" else first["input"]
    shown = "" if value is None else f", not {shortened(value)}"
    name = getattr(kind, "__name__", kind)
    return ProtocolError(
        f"the answer is not a {name}: {printable(field, _SHOWN)}: {first['msg'][:_SHOWN]}{shown}; {_CHECK}",
        field=field,
        value=value,
    )


def foreign(answer: Any, why: str = "") -> ProtocolError:
    """Return the error of an answer that comes from something other than a registry."""
    return ProtocolError(sentence(answer, why))


def sentence(answer: Any, why: str = "") -> str:
    """Say in one sentence what answered in the place of a registry, and what to do about it."""
    location = answer.headers.get("location")
    if 300 <= answer.status < 400 and location is not None:  # noqa: PLR2004 - redirects
        cause = f"it redirects to {shortened(without_userinfo(location))}"
        remedy = "a redirect is not followed, for the token would go along: set REGISTRY_URL to where the registry is"
    else:
        cause, remedy = _CAUSES.get(answer.status, (why, _BETWEEN))
    return f"{_what(answer)} is not an answer of a registry{f': {cause}' if cause else ''}; {remedy}"


def _what(answer: Any) -> str:
    headers, words = answer.headers, [f"status {answer.status}"]
    words.append(f"with {printable(headers.get('content-type', ''), _SHOWN) or 'no media type'}")
    if server := headers.get("server"):
        words.append(f"from {shortened(server)}")
    if answer.url:
        words.append(f"at {answer.url}")
    body = answer.body[:_SHOWN].decode("utf-8", "replace")
    return " ".join(words) + (f", beginning {shortened(body)}," if body else ", without a body,")


def without_userinfo(url: str) -> str:
    """Return an address without the name and the password in it."""
    scheme, slashes, rest = url.partition("://")
    if not slashes:
        return url
    authority, slash, path = rest.partition("/")
    return scheme + slashes + authority.rpartition("@")[2] + slash + path


def refuse_encoded(answer: Any) -> None:
    """Refuse a body that something on the way has compressed; the client asks for bytes as they are.

    Raises:
        ProtocolError: the answer says that it is encoded.
    """
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        why = f"it is compressed ({shortened(encoding)}) though the client asks for identity"
        raise ProtocolError(f"{_what(answer)} cannot be read: {why}; switch compression off in the proxy in between")


class Cursor:
    """The pages of one list that have come so far: a list whose pages repeat would never end."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._empty = 0

    def check(self, token: str, count: int) -> None:
        """Refuse a page that leads back to an earlier one, or that is the last of very many empty ones.

        Raises:
            ProtocolError: the list does not end.
        """
        self._empty = 0 if count else self._empty + 1
        key = hash(token)
        if key in self._seen or self._empty > _MOST_EMPTY_PAGES:
            raise wrong("next_page_token", token, "the list leads back to a page that came before, and would not end")
        self._seen.add(key)
