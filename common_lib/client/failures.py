"""Failures of the network, as sentences that name the cause."""

import re
from dataclasses import dataclass
from typing import Final

import httpx

from common_lib.errors import AnswerTimedOut, ConnectionFailed, RegistryUnavailable, TooManyCalls
from common_lib.escapes import escape

_SHOWN: Final = 300
# The first that fits counts: the kind of the error, a pattern of its text, and the cause.
_CAUSES: Final = [
    # A server of TLS answers a request in clear with an alert, or with the beginning of a handshake.
    (
        httpx.RemoteProtocolError,
        re.compile(r"['\"]\\x1[56]\\x03"),
        "what answers speaks TLS: write https:// in the address",
    ),
    (
        httpx.RemoteProtocolError,
        re.compile("location header"),
        "it redirects to what is not an address: set REGISTRY_URL to where the registry is",
    ),
    (
        httpx.RemoteProtocolError,
        re.compile("illegal"),
        "what answers does not speak HTTP: check host and port of the address",
    ),
    (
        httpx.ConnectError,
        re.compile("WRONG_VERSION_NUMBER|HTTP_REQUEST|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG"),
        "what answers does not speak TLS: write http:// in the address",
    ),
    (
        httpx.ConnectError,
        re.compile("CERTIFICATE_VERIFY_FAILED"),
        "its certificate is not trusted: name that of its authority by REGISTRY_CA_FILE or SSL_CERT_FILE",
    ),
    (
        httpx.ProxyError,
        re.compile(""),
        "the proxy refuses: check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY",
    ),
]
# Not only what httpx promises: what its parsers and codecs raise must not get past either.
FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, UnicodeError)


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt without an answer: the kind of error to raise, the cause, and whether anything was sent."""

    kind: type[RegistryUnavailable]
    detail: str
    sent: bool = True


def failure(error: Exception, url: str) -> Failure:
    """Translate an exception of the network into a failure whose detail names the cause."""
    kind: type[RegistryUnavailable] = ConnectionFailed
    if isinstance(error, httpx.PoolTimeout):
        kind = TooManyCalls
    elif isinstance(error, httpx.TimeoutException):
        kind = AnswerTimedOut
    sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError)
    text = escape(f"{type(error).__name__}: {error}".rstrip(": ")[:_SHOWN])
    return Failure(kind, f"{url}: {text}{_cause(error, text)}", sent)


def _cause(error: Exception, text: str) -> str:
    for kind, pattern, cause in _CAUSES:
        if isinstance(error, kind) and pattern.search(text):
            return f": {cause}"
    return ""
