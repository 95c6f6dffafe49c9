"""Errors that the server sends when a request is not valid HTTP, arrives too slowly or has the wrong host."""

from common_lib.rules.codes import Code
from registry_server.domain.errors.base import RegistryError


class MalformedRequest(RegistryError, code=Code.MALFORMED_REQUEST):
    """The request is not HTTP/1.1."""

    detail = "the request is not HTTP/1.1 as RFC 9112 defines it"
    remedy = "send it with an HTTP library"


class HttpVersionNotSupported(RegistryError, code=Code.MALFORMED_REQUEST, field="version"):
    """The request uses a version of HTTP that the server does not support."""

    detail = "HTTP/{value} is not supported"
    remedy = "send HTTP/1.1"


class HostHeaderCount(RegistryError, code=Code.MALFORMED_REQUEST, field="Host"):
    """The request has no Host header, or more than one."""

    remedy = "send one Host header"

    def __init__(self, hosts: str, count: int) -> None:
        super().__init__(hosts, f"the request has {count} Host headers")


class HostMalformed(RegistryError, code=Code.MALFORMED_REQUEST):
    """The host in the request is not a valid host name."""

    remedy = "send a host name and an optional port"

    def __init__(self, field: str, host: str) -> None:
        self.field = field
        super().__init__(host, f"{host!r:.100} is not a valid host name")


class TargetMalformed(RegistryError, code=Code.MALFORMED_REQUEST, field="target"):
    """The target of the request is not a path of visible ASCII characters without a fragment."""

    detail = "the request target is not a path, or has a fragment or characters other than visible ASCII"
    remedy = "send a percent-encoded path that begins with / and does not contain #"


class HostsDiffer(RegistryError, code=Code.MALFORMED_REQUEST, field="Host"):
    """The target and the Host header of the request contain different hosts."""

    detail = "the request target and the Host header contain different hosts"
    remedy = "send the same host in both"


class Misdirected(RegistryError, code=Code.MISDIRECTED_REQUEST):
    """The request is for a host that this server does not serve."""

    remedy = "use the address of this server; an operator can allow the name of a proxy with --allowed-host"

    def __init__(self, field: str, host: str, name: str) -> None:
        self.field = field
        super().__init__(host, f"this server does not serve the host {name!r:.100}")


class RequestTimedOut(RegistryError, code=Code.REQUEST_TIMEOUT):
    """The head of the request did not arrive in time, or its body arrived too slowly."""

    detail = "the head of the request did not arrive in time, or its body arrived too slowly"
    remedy = "repeat the request and send it without pauses"


class HeadTooLarge(RegistryError, code=Code.HEAD_TOO_LARGE):
    """The head of the request has too many bytes or headers."""

    remedy = "send fewer and shorter headers and a shorter query"

    def __init__(self, max_headers: int) -> None:
        super().__init__(detail=f"the head of the request has too many bytes, or more than {max_headers} headers")


class TooManyConnections(RegistryError, code=Code.TOO_MANY_CONNECTIONS):
    """The server has reached its maximum number of connections."""

    retry_after_s = 1.0
    detail = "the server has reached its limit of connections"
    remedy = "try again later, close idle connections, or raise REGISTRY_SERVER_MAX_CONNECTIONS on the server"


class InternalError(RegistryError, code=Code.INTERNAL):
    """The server failed unexpectedly; its log contains the traceback."""

    detail = "the server failed; nothing was changed unless the response was lost after a commit"

    def __init__(self, request_id: str) -> None:
        remedy = f"try again with the same Idempotency-Key; if that fails, look for {request_id} in the server's log"
        super().__init__(remedy=remedy)
