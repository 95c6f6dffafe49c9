"""Errors of connections: the server sends them before the request reaches the application."""

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
    """The host of the request cannot be read."""

    remedy = "send a host name and an optional port"

    def __init__(self, field: str, host: str) -> None:
        self.field = field
        super().__init__(host, f"{host!r:.100} is not a host")


class TargetMalformed(RegistryError, code=Code.MALFORMED_REQUEST, field="target"):
    """The target of the request is not a path of visible ASCII characters without a fragment."""

    detail = "the request target is not a path, or has a fragment or characters other than visible ASCII"
    remedy = "send a percent-encoded path that begins with /, without # and what follows it"


class HostsDiffer(RegistryError, code=Code.MALFORMED_REQUEST, field="Host"):
    """The target and the Host header of the request name different hosts."""

    detail = "the request target and the Host header name different hosts"
    remedy = "send the same host in both"


class Misdirected(RegistryError, code=Code.MISDIRECTED_REQUEST):
    """The request names a host that this server is not."""

    remedy = "use the server's own address; an operator can add the name of a proxy with --allowed-host"

    def __init__(self, field: str, host: str, name: str) -> None:
        self.field = field
        super().__init__(host, f"this server does not serve the host {name!r:.100}")


class RequestTimedOut(RegistryError, code=Code.REQUEST_TIMEOUT):
    """The head of the request, or enough of its body, did not arrive in time."""

    detail = "the head of the request did not arrive in time, or its body arrived too slowly"
    remedy = "repeat the request and send it without pauses"


class HeadTooLarge(RegistryError, code=Code.HEAD_TOO_LARGE):
    """The head of the request has too many bytes or headers."""

    remedy = "send fewer and shorter headers and a shorter query"

    def __init__(self, max_headers: int) -> None:
        super().__init__(detail=f"the head of the request has too many bytes, or more than {max_headers} headers")


class TooManyConnections(RegistryError, code=Code.TOO_MANY_CONNECTIONS):
    """The server has as many connections as it may have."""

    retry_after_s = 1.0
    detail = "the server has reached its limit of connections"
    remedy = "try again later, close idle connections, or raise REGISTRY_SERVER_MAX_CONNECTIONS on the server"


class InternalError(RegistryError, code=Code.INTERNAL):
    """An error that the server did not expect; the log has the traceback."""

    detail = "the server failed; nothing was changed unless the response was lost after a commit"

    def __init__(self, request_id: str) -> None:
        remedy = f"repeat it with the same Idempotency-Key; if that fails, look for {request_id} in the server's log"
        super().__init__(remedy=remedy)
