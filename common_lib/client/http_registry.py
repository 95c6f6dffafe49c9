"""The blocking registry over HTTP: each call runs in the thread of its caller."""

import contextlib
import time
from concurrent.futures import wait
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from common_lib.client.background import Background
from common_lib.client.http_client import HttpClient, advance
from common_lib.client.resolve_cache import ResolveCache
from common_lib.client.steps import CallSteps, Pause, Refresh, Save, Send, Wait
from common_lib.client.telemetry import Telemetry
from common_lib.client.transport import Transport
from common_lib.config import RegistryConfig
from common_lib.errors import InvalidConfiguration, RegistryError
from common_lib.operations.base import Answer, Operation
from common_lib.registry import ModelRegistry
from common_lib.repetition import REPEATABLE, make_repeatable

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
_CLOSE_TIMEOUT_S: Final = 1.0


class HttpRegistry(HttpClient, ModelRegistry):
    """A blocking client of the registry at an address. Any number of threads may share one instance.

    Without `config`, the configuration is read from the `REGISTRY_*` environment variables. `transport` is a transport
    of httpx that replaces the network. A forked process can use the same instance, and gets its own connections.

    Example:
        >>> with HttpRegistry(RegistryConfig(url="http://127.0.0.1:8321", token="mrg_…")) as registry:
        ...     registry.config.url
        'http://127.0.0.1:8321'
    """

    def __init__(
        self,
        config: RegistryConfig | None = None,
        *,
        transport: "httpx.BaseTransport | None" = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        super().__init__(config, transport, telemetry)

    def call(self, operation: Operation[T]) -> T:
        """Send an operation to the registry, with retries, and return its result.

        Raises:
            RequestRefused: the registry refused the request.
            RegistryUnavailable: no attempt got an answer. After a write, `retry` repeats the request, and the registry
                executes it only once.
            RegistryClosed: the client was closed before this call.
        """
        answer = None
        try:
            answer = self._drive(operation, self._steps(operation))
            return operation.result(answer)
        except REPEATABLE as error:
            make_repeatable(error, operation, has_answer=answer is not None)
            raise

    def _connect(self) -> None:
        self._transport = Transport(self.config, self._network)
        self._register_finalizer(self._transport.close, abandon=self._transport.abandon)
        self._background = Background()

    def _abandon_connections(self) -> None:
        # A transport that replaces the network in tests has no sockets.
        if isinstance(self._transport, Transport):
            self._transport.abandon()

    def _drive(self, operation: Operation[Any], steps: CallSteps) -> Answer:
        reply: Any = None
        try:
            while True:
                step = advance(steps, reply)
                reply = None
                match step:
                    case Send(timeout_s, headers, url):
                        try:
                            reply = self._transport.send(operation, timeout_s, headers, url)
                        except InvalidConfiguration as error:
                            reply = error
                    case Pause(seconds):
                        time.sleep(seconds)
                    case Wait(result, seconds):
                        reply = result.result() if wait([result], seconds).done else None
                    case Refresh(stale):
                        self._background.submit(partial(self._refresh, stale))
                    case Save():
                        self._background.submit(cast("ResolveCache", self._cache).save)
        except StopIteration as done:
            return cast("Answer", done.value)
        except RuntimeError as error:
            raise self._translate_closed_pool(error) from None
        finally:
            # After an interrupt the chain must still release its bulkhead and circuit.
            steps.close()

    def _refresh(self, operation: Operation[Any]) -> None:
        with contextlib.suppress(RegistryError):
            self._drive(operation, self._refresh_steps(operation))

    def close(self) -> None:
        """Close the connections and write the cache file; later calls raise `RegistryClosed`."""
        if self._closed:
            return
        self._reset_if_forked()
        self._closed = True
        self._background.close(_CLOSE_TIMEOUT_S)
        if self._finalizer is not None:
            self._finalizer()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
