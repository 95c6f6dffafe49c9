"""Refusals of a connection before its request reaches the application, each with what to do about it."""

from typing import Final

from registry_server.domain.errors import RegistryError

MOST_HEADERS: Final = 100
REFUSALS: Final[dict[str, RegistryError]] = {
    refusal.reason_code: refusal
    for refusal in (
        RegistryError(
            "the request is not HTTP/1.1 as RFC 9112 means it",
            remedy="send it by an HTTP library",
            code="malformed_request",
        ),
        RegistryError(
            "the head was not whole in time, or too little of the body came",
            remedy="send it again, and without pauses",
            code="request_timeout",
        ),
        RegistryError(
            f"the head of the request has too many bytes or more than {MOST_HEADERS} headers",
            remedy="send fewer and shorter headers; conditions of a search may be fewer, too",
            code="head_too_large",
        ),
        RegistryError(
            "the server has as many connections as it takes",
            remedy="try again later, close idle connections, or raise REGISTRY_SERVER_MAX_CONNECTIONS of the server",
            code="too_many_connections",
        ),
    )
}
