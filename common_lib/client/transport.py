"""One attempt of one operation over httpx; what goes wrong on the way comes back as a value."""

import re
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, get_args

import httpx

from common_lib.client import network, wire
from common_lib.client.failures import FAILURES, Failure, failure
from common_lib.config import RegistryConfig
from common_lib.errors import InvalidRequest
from common_lib.operations.base import Answer, Operation, RouteClass, Source

CHUNK = 1024 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_MOST_BYTES_OF_A_REFUSAL = 256 * 1024
CLASSES: tuple[RouteClass, ...] = get_args(RouteClass)


class Transport:
    """Attempts over a pool of blocking connections."""

    def __init__(self, config: RegistryConfig, transport: httpx.BaseTransport | None = None) -> None:
        self._config = config
        self._replaced = transport
        self._making = threading.Lock()
        self._made: httpx.Client | None = None
        self._closed = False

    def send(
        self, operation: Operation[Any], timeout_s: float, headers: Sequence[tuple[str, str]] = (), url: str = ""
    ) -> Answer | Failure:
        """Send it once within that time and read the answer whole, or its bytes into the operation's sink."""
        client = self._made or self._make()
        before = wire.end_at(time.monotonic() + timeout_s)
        try:
            content = None if operation.upload is None else chunks_of(operation.upload)
            sink = operation.sink
            with client.stream(
                **request_of(operation, timeout_s, headers, url, self._config), content=content or operation.body
            ) as response:
                if sink is None or not holds_bytes(response):
                    body = Body(operation, response, self._config)
                    for chunk in _pieces(response):
                        if body.has_enough_with(chunk):
                            break
                    return answer_of(response, bytes(body.whole), url or self._config.url)
                sink.begin(begins_at(response))
                for chunk in _pieces(response):
                    sink.write(chunk)
                return answer_of(response, b"", url or self._config.url)
        except FAILURES as error:
            return failure(error, url or self._config.url)
        finally:
            wire.end_at(before)

    def close(self) -> None:
        """Close the pool, if there is one."""
        self._closed = True
        if self._made is not None:
            self._made.close()

    def _make(self) -> httpx.Client:
        """Make the pool at the first attempt: a client that reads only this machine needs no network settings."""
        with self._making:
            if self._made is None:
                client = httpx.Client(**client_of(self._config, self._replaced, httpx.HTTPTransport))
                wire.bound(client)
                if self._closed:
                    client.close()
                self._made = client
            return self._made

    def abandon(self) -> None:
        """Let go of the pool in a process that was forked off; it goes on in the parent."""
        if self._made is not None:
            wire.abandon(self._made)


def most_calls(config: RegistryConfig) -> int:
    """How many calls of one class may be under way, at all addresses together."""
    return config.most_calls * len(config.urls)


def client_of(config: RegistryConfig, replaced: Any, transport: type[Any]) -> dict[str, Any]:
    """Return the arguments of a client of httpx: a transport that replaces the network, or what the network needs."""
    # Bodies are read raw, so that what is hashed is what was sent.
    headers = {"user-agent": "model-registry-client", "accept-encoding": "identity"}
    if config.token:
        headers["authorization"] = f"Bearer {config.token}"
    # As many as the calls of all classes together: a class that hangs must not take the connections of another.
    most = most_calls(config)
    limits = httpx.Limits(max_connections=most * len(CLASSES), max_keepalive_connections=most)
    given = {"base_url": config.url, "headers": headers, "follow_redirects": False, "limits": limits}
    if replaced is not None:
        return {**given, "transport": replaced, "trust_env": False, "cookies": _no_cookies()}
    return {**given, **network.client_options(config, limits, transport), "cookies": _no_cookies()}


def _no_cookies() -> CookieJar:
    # Nobody here wants any: what a server sets would be kept for ever, and sent along.
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def request_of(
    operation: Operation[Any], timeout_s: float, more: Sequence[tuple[str, str]], url: str, config: RegistryConfig
) -> dict[str, Any]:
    """Return the arguments of one request of httpx."""
    headers = [*operation.headers, *more]
    if operation.body is not None and "content-type" not in dict(headers):
        headers.append(("content-type", "application/json"))
    if operation.upload is not None:
        headers.append(("content-type", "application/octet-stream"))
        headers.append(("content-length", str(_length(operation.upload))))
    if operation.sink is not None and operation.sink.held:
        headers.append(("range", f"bytes={operation.sink.held}-"))
    pause_s = min(timeout_s, config.blob_timeout_s) if operation.route_class == "blob" else timeout_s
    return {
        "method": operation.method,
        "url": url.rstrip("/") + operation.path if url else operation.path,
        "params": operation.query,
        "headers": headers,
        "timeout": httpx.Timeout(pause_s, connect=min(timeout_s, config.attempt_timeout_s)),
    }


def _length(source: Source) -> int:
    if source.length is not None:
        return source.length
    try:
        return source.path.stat().st_size - source.start
    except OSError as error:
        raise InvalidRequest(
            f"{str(source.path)!r} cannot be read: {error.strerror}",
            code="invalid_path",
            remedy="pass the path of a file",
            field="file",
            value=str(source.path),
        ) from None


def begins_at(response: httpx.Response) -> int:
    """Where in the whole the bytes of an answer begin."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return 0
    match = re.match(r"^bytes ([0-9]{1,18})-", response.headers.get("content-range", ""))
    if match is None:
        raise httpx.DecodingError("a partial answer that does not say which part it is")
    return int(match[1])


def answer_of(response: httpx.Response, body: bytes, url: str) -> Answer:
    """Make an `Answer` of a response and its body."""
    return Answer(response.status_code, dict(response.headers), body, url=url)


def holds_bytes(response: httpx.Response) -> bool:
    """Return whether a body holds the bytes of a file as they are, and not a message of a proxy."""
    is_plain = response.headers.get("content-encoding", "identity").strip().lower() in {"", "identity"}
    return is_plain and response.status_code in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}


class Body:
    """The body of an answer as it comes in, bounded in size; of a refusal, its beginning is enough."""

    def __init__(self, operation: Operation[Any], response: httpx.Response, config: RegistryConfig) -> None:
        self.whole = bytearray()
        self._is_success = response.is_success
        if operation.route_class == "blob":
            # The transfer of bytes before it took as long as it took; what is said about it must come within this.
            wire.end_within(config.blob_timeout_s)

    def has_enough_with(self, chunk: bytes) -> bool:
        """Take the next bytes. Return whether no more are needed."""
        if self._is_success and len(self.whole) + len(chunk) > _MOST_BYTES:
            raise httpx.DecodingError(f"the answer has more than {_MOST_BYTES} bytes")
        self.whole += chunk if self._is_success else chunk[: _MOST_BYTES_OF_A_REFUSAL - len(self.whole)]
        return not self._is_success and len(self.whole) == _MOST_BYTES_OF_A_REFUSAL


def chunks_of(source: Source) -> Generator[bytes, None, None]:
    """Read what is to be sent, piece by piece."""
    # Opened here: a generator that never starts would never close what it was given.
    with source.path.open("rb", buffering=0) as file:
        position = file.seek(source.start)
        end = position + _length(source)
        while position < end and (chunk := file.read(min(CHUNK, end - position))):
            position += len(chunk)
            yield chunk
            if source.sent is not None:
                source.sent(position)


def _pieces(response: httpx.Response) -> Iterator[bytes]:
    # A transport that stands for the network in a test may bring the body whole; httpx gives that no second time.
    return iter([response.content]) if response.is_stream_consumed else response.iter_raw()
