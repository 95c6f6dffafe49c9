"""What came instead of an answer, in words that name the cause."""

import re
from dataclasses import dataclass
from typing import Final

import httpx

from common_lib.errors import AnswerTimedOut, ConnectionFailed, RegistryUnavailable, TooManyCalls

_SHOWN: Final = 300
# The first that fits: of which kind it is, what it says, and what that means.
_CAUSES: Final = [
    # What a server of TLS says to a request in clear: an alert, or the beginning of a handshake.
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
    """No answer came: the kind of error to raise if it stays so, what happened, and whether anything was sent."""

    kind: type[RegistryUnavailable]
    detail: str
    sent: bool = True


def failure(error: Exception, url: str) -> Failure:
    """Return what an exception of the network means, as a sentence with the cause."""
    kind: type[RegistryUnavailable] = ConnectionFailed
    if isinstance(error, httpx.PoolTimeout):
        kind = TooManyCalls
    elif isinstance(error, httpx.TimeoutException):
        kind = AnswerTimedOut
    sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError)
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    said = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in said[:_SHOWN])
    return Failure(kind, f"{url}: {said}{_cause(error, said)}", sent)


def _cause(error: Exception, said: str) -> str:
    for kind, pattern, cause in _CAUSES:
        if isinstance(error, kind) and pattern.search(said):
            return f": {cause}"
    return ""
