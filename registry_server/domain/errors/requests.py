"""Errors in the address, the query parameters or the headers of a request."""

from collections.abc import Iterable

from common_lib.rules.codes import Code
from registry_server.domain.errors.base import RegistryError

_SEE_OPENAPI = "read /openapi.json for the addresses and their parameters"


class AddressNotFound(RegistryError, code=Code.NOT_FOUND, field="path"):
    """The registry has no such address."""

    def __init__(self, path: str, meant: str = "") -> None:
        remedy = f"did you mean {meant}?" if meant else _SEE_OPENAPI
        super().__init__(path, f"the address {path!r:.200} does not exist", remedy)


class MethodNotAllowed(RegistryError, code=Code.METHOD_NOT_ALLOWED, field="method"):
    """The address does not support the HTTP method of the request."""

    def __init__(self, method: str, allowed: str) -> None:
        self.headers = {"allow": allowed}
        super().__init__(method, f"the address does not support the method {method!r:.50}", f"use one of {allowed}")


class HeaderRepeated(RegistryError, code=Code.INVALID_REQUEST):
    """The request contains a header twice that is allowed only once."""

    remedy = "send this header once"

    def __init__(self, name: str) -> None:
        self.field = name
        super().__init__(detail=f"the request has the header {name} twice")


class QueryNotUtf8(RegistryError, code=Code.INVALID_REQUEST, field="query"):
    """The query of the address is not percent-encoded UTF-8."""

    detail = "the query is not UTF-8"
    remedy = "encode texts as UTF-8, then percent-encode them"


class ParameterUnknown(RegistryError, code=Code.INVALID_REQUEST, field="query"):
    """The address has no such query parameter."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        parameters = f"the query parameters are: {', '.join(known)}" if known else "send no query parameters"
        super().__init__(name, f"this address has no query parameter {name!r:.100}", parameters)


class ParameterRepeated(RegistryError, code=Code.INVALID_REQUEST):
    """The request contains a query parameter several times that is allowed only once."""

    remedy = "send this parameter once"

    def __init__(self, name: str, values: list[str]) -> None:
        self.field = name
        super().__init__(values[-1], f"the query parameter {name} was sent {len(values)} times")


class ParameterEmpty(RegistryError, code=Code.INVALID_REQUEST):
    """A query parameter has no value."""

    remedy = "leave out this parameter, or send a value"

    def __init__(self, name: str) -> None:
        self.field = name
        super().__init__("", f"{name} is empty")


class ParameterInvalid(RegistryError, code=Code.INVALID_REQUEST):
    """A query parameter has a value of the wrong type. `expected` is the type in words, `example` a valid value."""

    def __init__(self, name: str, value: str, expected: str, example: str) -> None:
        self.field = name
        super().__init__(value, f"{name} {value!r:.100} is not {expected}", f"send {example}")


class ParameterRefused(RegistryError, code=Code.INVALID_REQUEST):
    """The web framework cannot convert a parameter or the request; `reason` is the framework's explanation."""

    remedy = _SEE_OPENAPI

    def __init__(self, name: str | None, value: str | None, reason: str) -> None:
        self.field = name
        super().__init__(value, f"{name}: {reason}" if name else reason)


class NumberOutOfRange(RegistryError, code=Code.INVALID_REQUEST):
    """A number in the query is too small or too large."""

    def __init__(self, name: str, value: int, low: int, high: int) -> None:
        self.field = name
        remedy = f"send a number from {low} to {high}; read long lists page by page"
        super().__init__(value, f"{name} {value} is not between {low} and {high}", remedy)


class NumberBeyond64Bits(RegistryError, code=Code.INVALID_REQUEST, field="number"):
    """A number in the request does not fit into 64 bits, which is the limit of the database."""

    detail = "a number has more than 64 bits"
    remedy = "send numbers between -2**63 and 2**63 - 1"


class OrderNotSupported(RegistryError, code=Code.INVALID_REQUEST, field="order"):
    """The list cannot be sorted by the requested field."""

    def __init__(self, what: str, order: str, orders: Iterable[str]) -> None:
        super().__init__(order, f"{what} cannot be sorted by {order}", f"use one of {', '.join(orders)}")


class PageTokenNotValid(RegistryError, code=Code.INVALID_PAGE_TOKEN, field="page_token"):
    """The page token is damaged or belongs to another list."""

    detail = "page_token is damaged or belongs to another list"
    remedy = "send next_page_token as received, with the same filters and order, or begin again without page_token"


class RangeNotSatisfiable(RegistryError, code=Code.RANGE_NOT_SATISFIABLE, field="Range"):
    """The file has no bytes in the requested range. The response contains its size (RFC 9110, 15.5.17)."""

    def __init__(self, path: str, size: int, requested: str | None) -> None:
        self.headers = {"content-range": f"bytes */{size}"}
        remedy = f"send a range within 0-{size - 1}" if size else "do not send Range: the file is empty"
        super().__init__(requested, f"{path!r} has {size} bytes, but none in the range {requested}", remedy)
