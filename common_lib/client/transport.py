"""Send an operation once over httpx. A failure of the network is returned as a `Failure`, not raised."""

import re
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, get_args

import httpx

from common_lib.client import network_settings, socket_deadline
from common_lib.client.failures import FAILURES, Failure, to_failure
from common_lib.config import RegistryConfig
from common_lib.errors import InvalidRequest
from common_lib.operations.base import Answer, Operation, RouteClass, Source

CHUNK = 1024 * 1024
_MAX_BYTES = 64 * 1024 * 1024
_MAX_REFUSAL_BYTES = 256 * 1024
CLASSES: tuple[RouteClass, ...] = get_args(RouteClass)


class Transport:
    """The blocking transport: it sends attempts over the connection pool of httpx."""

    def __init__(self, config: RegistryConfig, transport: httpx.BaseTransport | None = None) -> None:
        self._config = config
        self._replaced = transport
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._closed = False

    def send(
        self, operation: Operation[Any], timeout_s: float, headers: Sequence[tuple[str, str]] = (), url: str = ""
    ) -> Answer | Failure:
        """Send an operation once. Return its answer, whose body goes to the operation's sink if there is one."""
        client = self._client or self._open()
        before = socket_deadline.set_deadline(time.monotonic() + timeout_s)
        try:
            content = None if operation.upload is None else chunks_of(operation.upload)
            sink = operation.sink
            with client.stream(
                **request_arguments(operation, timeout_s, headers, url, self._config), content=content or operation.body
            ) as response:
                if sink is None or not has_raw_bytes(response):
                    body = Body(operation, response, self._config)
                    for chunk in _chunks(response):
                        if body.add(chunk):
                            break
                    return to_answer(response, bytes(body.content), url or self._config.url)
                sink.begin(start_offset(response))
                for chunk in _chunks(response):
                    sink.write(chunk)
                return to_answer(response, b"", url or self._config.url)
        except FAILURES as error:
            return to_failure(error, url or self._config.url)
        finally:
            socket_deadline.set_deadline(before)

    def close(self) -> None:
        """Close the connection pool, if it was created."""
        self._closed = True
        if self._client is not None:
            self._client.close()

    def _open(self) -> httpx.Client:
        """Create the connection pool; only the first attempt does so, as a client of local files needs no network."""
        with self._lock:
            if self._client is None:
                client = httpx.Client(**client_arguments(self._config, self._replaced, httpx.HTTPTransport))
                socket_deadline.install(client)
                if self._closed:
                    client.close()
                self._client = client
            return self._client

    def abandon(self) -> None:
        """Release the connection pool in a forked process, without closing the connections of the parent process."""
        if self._client is not None:
            socket_deadline.close_inherited_sockets(self._client)


def max_calls(config: RegistryConfig) -> int:
    """Return how many calls of one class of routes may be in progress, at all endpoints together."""
    return config.most_calls * len(config.urls)


def client_arguments(config: RegistryConfig, replaced: Any, transport: type[Any]) -> dict[str, Any]:
    """Return the arguments for a client of httpx. `replaced` is a transport that replaces the network, or None."""
    # Bodies are not compressed, because the hash is computed from the bytes that the server sent.
    headers = {"user-agent": "model-registry-client", "accept-encoding": "identity"}
    if config.token:
        headers["authorization"] = f"Bearer {config.token}"
    # Enough for the calls of all classes together: a class that hangs must not use up the connections of others.
    calls = max_calls(config)
    limits = httpx.Limits(max_connections=calls * len(CLASSES), max_keepalive_connections=calls)
    arguments = {"base_url": config.url, "headers": headers, "follow_redirects": False, "limits": limits}
    if replaced is not None:
        return {**arguments, "transport": replaced, "trust_env": False, "cookies": _no_cookies()}
    return {**arguments, **network_settings.client_options(config, limits, transport), "cookies": _no_cookies()}


def _no_cookies() -> CookieJar:
    # The registry uses no cookies. A cookie that a server sets would be stored for ever and sent with each request.
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def request_arguments(
    operation: Operation[Any], timeout_s: float, headers: Sequence[tuple[str, str]], url: str, config: RegistryConfig
) -> dict[str, Any]:
    """Return the arguments for one request of httpx: method, address, headers, query and timeout."""
    sent = [*operation.headers, *headers]
    if operation.body is not None and "content-type" not in dict(sent):
        sent.append(("content-type", "application/json"))
    if operation.upload is not None:
        sent.append(("content-type", "application/octet-stream"))
        sent.append(("content-length", str(_length(operation.upload))))
    if operation.sink is not None and operation.sink.held:
        sent.append(("range", f"bytes={operation.sink.held}-"))
    pause_s = min(timeout_s, config.blob_timeout_s) if operation.route_class == "blob" else timeout_s
    return {
        "method": operation.method,
        "url": url.rstrip("/") + operation.path if url else operation.path,
        "params": operation.query,
        "headers": sent,
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
            remedy="pass the path of a file that this process can read",
            field="file",
            value=str(source.path),
        ) from None


def start_offset(response: httpx.Response) -> int:
    """Return the position in the file where the bytes of an answer begin; 0 if the answer contains the whole file."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return 0
    match = re.match(r"^bytes ([0-9]{1,18})-", response.headers.get("content-range", ""))
    if match is None:
        raise httpx.DecodingError("the partial answer has no valid Content-Range")
    return int(match[1])


def to_answer(response: httpx.Response, body: bytes, url: str) -> Answer:
    """Convert a response and its body to an `Answer`."""
    return Answer(response.status_code, dict(response.headers), body, url=url)


def has_raw_bytes(response: httpx.Response) -> bool:
    """Return whether a body contains the bytes of a file: it is not compressed, and it is not a message of a proxy."""
    is_plain = response.headers.get("content-encoding", "identity").strip().lower() in {"", "identity"}
    return is_plain and response.status_code in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}


class Body:
    """The body of an answer while the client receives it. Its size is limited; a refusal is read only up to a limit."""

    def __init__(self, operation: Operation[Any], response: httpx.Response, config: RegistryConfig) -> None:
        self.content = bytearray()
        self._is_success = response.is_success
        if operation.route_class == "blob":
            # The transfer of a file has no time limit, but its answer without the file has one.
            socket_deadline.cap_deadline(config.blob_timeout_s)

    def add(self, chunk: bytes) -> bool:
        """Add a chunk to the body. Return True if the rest of the body is not needed."""
        if self._is_success and len(self.content) + len(chunk) > _MAX_BYTES:
            raise httpx.DecodingError(f"the answer has more than {_MAX_BYTES} bytes")
        self.content += chunk if self._is_success else chunk[: _MAX_REFUSAL_BYTES - len(self.content)]
        return not self._is_success and len(self.content) == _MAX_REFUSAL_BYTES


def chunks_of(source: Source) -> Generator[bytes, None, None]:
    """Read the bytes to send, chunk by chunk."""
    # The file is opened here, because a generator that never starts would never close it.
    with source.path.open("rb", buffering=0) as file:
        position = file.seek(source.start)
        end = position + _length(source)
        while position < end and (chunk := file.read(min(CHUNK, end - position))):
            position += len(chunk)
            yield chunk
            if source.sent is not None:
                source.sent(position)


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    # A transport that replaces the network in a test may have read the whole body already.
    return iter([response.content]) if response.is_stream_consumed else response.iter_raw()
