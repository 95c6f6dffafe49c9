"""Errors of connections: the server sends them before the request reaches the application."""

from common_lib.rules.codes import Code
from registry_server.domain.errors.base import RegistryError


class MalformedRequest(RegistryError):
    """The request is not HTTP/1.1."""

    code = Code.MALFORMED_REQUEST
    detail = "the request is not HTTP/1.1 as RFC 9112 defines it"
    remedy = "send it with an HTTP library"


class HttpVersionNotSupported(RegistryError):
    """The request uses a version of HTTP that the server does not support."""

    code = Code.MALFORMED_REQUEST
    field = "version"
    detail = "HTTP/{value} is not supported"
    remedy = "send HTTP/1.1"


class HostHeaderCount(RegistryError):
    """The request has no Host header, or more than one."""

    code = Code.MALFORMED_REQUEST
    field = "Host"
    remedy = "send one Host header"

    def __init__(self, hosts: str, count: int) -> None:
        super().__init__(hosts, f"the request has {count} Host headers")


class HostMalformed(RegistryError):
    """The host of the request cannot be read."""

    code = Code.MALFORMED_REQUEST
    remedy = "send a host name and an optional port"

    def __init__(self, field: str, host: str) -> None:
        self.field = field
        super().__init__(host, f"{host!r:.100} is not a host")


class TargetMalformed(RegistryError):
    """The target of the request is not a path of visible ASCII characters without a fragment."""

    code = Code.MALFORMED_REQUEST
    field = "target"
    detail = "the request target is not a path, or has a fragment or characters other than visible ASCII"
    remedy = "send a percent-encoded path that begins with /, without # and what follows it"


class HostsDiffer(RegistryError):
    """The target and the Host header of the request name different hosts."""

    code = Code.MALFORMED_REQUEST
    field = "Host"
    detail = "the request target and the Host header name different hosts"
    remedy = "send the same host in both"


class Misdirected(RegistryError):
    """The request names a host that this server is not."""

    code = Code.MISDIRECTED_REQUEST
    remedy = "use the server's own address; an operator can add the name of a proxy with --allowed-host"

    def __init__(self, field: str, host: str, name: str) -> None:
        self.field = field
        super().__init__(host, f"this server does not serve the host {name!r:.100}")


class RequestTimedOut(RegistryError):
    """The head of the request, or enough of its body, did not arrive in time."""

    code = Code.REQUEST_TIMEOUT
    detail = "the head of the request did not arrive in time, or its body arrived too slowly"
    remedy = "repeat the request and send it without pauses"


class HeadTooLarge(RegistryError):
    """The head of the request has too many bytes or headers."""

    code = Code.HEAD_TOO_LARGE
    remedy = "send fewer and shorter headers and a shorter query"

    def __init__(self, max_headers: int) -> None:
        super().__init__(detail=f"the head of the request has too many bytes, or more than {max_headers} headers")


class TooManyConnections(RegistryError):
    """The server has as many connections as it may have."""

    code = Code.TOO_MANY_CONNECTIONS
    retry_after_s = 1.0
    detail = "the server has reached its limit of connections"
    remedy = "try again later, close idle connections, or raise REGISTRY_SERVER_MAX_CONNECTIONS on the server"


class InternalError(RegistryError):
    """An error that the server did not expect; the log has the traceback."""

    code = Code.INTERNAL
    detail = "the server failed; nothing was changed unless the response was lost after a commit"

    def __init__(self, request_id: str) -> None:
        remedy = f"repeat it with the same Idempotency-Key; if that fails, look for {request_id} in the server's log"
        super().__init__(remedy=remedy)
