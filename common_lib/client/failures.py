"""Convert exceptions of the network to error messages with a cause and a remedy."""

import re
from dataclasses import dataclass
from typing import Final

import httpx

from common_lib.errors import AnswerTimedOut, ConnectionFailed, RegistryUnavailable, TooManyCalls
from common_lib.escapes import escape

_MAX_TEXT: Final = 300
# Each row: the class of the error, a pattern of its text, and the cause. The first row that matches is used.
_CAUSES: Final = [
    # A TLS server responds to an unencrypted request with an alert, or with the beginning of a handshake.
    (
        httpx.RemoteProtocolError,
        re.compile(r"['\"]\\x1[56]\\x03"),
        "the server speaks TLS: write https:// in the address",
    ),
    (
        httpx.RemoteProtocolError,
        re.compile("location header"),
        "the server redirects to an invalid address: set REGISTRY_URL to the address of the registry",
    ),
    (
        httpx.RemoteProtocolError,
        re.compile("illegal"),
        "the server does not speak HTTP: check the host and port of the address",
    ),
    (
        httpx.ConnectError,
        re.compile("WRONG_VERSION_NUMBER|HTTP_REQUEST|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG"),
        "the server does not speak TLS: write http:// in the address",
    ),
    (
        httpx.ConnectError,
        re.compile("CERTIFICATE_VERIFY_FAILED"),
        "the server's certificate is not trusted: set REGISTRY_CA_FILE or SSL_CERT_FILE to its CA certificate",
    ),
    (
        httpx.ProxyError,
        re.compile(""),
        "the proxy refuses the connection: check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY",
    ),
]
# Not only the errors that httpx documents: those of its parsers and codecs must not escape either.
FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, UnicodeError)


@dataclass(frozen=True, slots=True)
class Failure:
    """The outcome of an attempt without an answer: the error to raise, its text, and whether the request was sent."""

    kind: type[RegistryUnavailable]
    detail: str
    sent: bool = True


def to_failure(error: Exception, url: str) -> Failure:
    """Convert an exception of the network to a `Failure` with its error class and a message that explains the cause."""
    kind: type[RegistryUnavailable] = ConnectionFailed
    if isinstance(error, httpx.PoolTimeout):
        kind = TooManyCalls
    elif isinstance(error, httpx.TimeoutException):
        kind = AnswerTimedOut
    sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError)
    text = escape(f"{type(error).__name__}: {error}".rstrip(": ")[:_MAX_TEXT])
    return Failure(kind, f"{url}: {text}{_cause(error, text)}", sent)


def _cause(error: Exception, text: str) -> str:
    for kind, pattern, cause in _CAUSES:
        if isinstance(error, kind) and pattern.search(text):
            return f": {cause}"
    return ""
