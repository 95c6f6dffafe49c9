"""The base class of the blocking and the asynchronous HTTP client: configuration, retries, cache, forks and closing."""

import codecs
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

from common_lib.client.resilience import CircuitState, Resilience
from common_lib.client.resolve_cache import ResolveCache
from common_lib.client.steps import CallSteps
from common_lib.client.telemetry import Telemetry
from common_lib.config import RegistryConfig
from common_lib.errors import InvalidConfiguration, RegistryClosed
from common_lib.operations.base import Operation
from common_lib.origin import Origin

# The first connection imports this codec. A process that is forked during the import would wait for it for ever.
codecs.lookup("idna")


class HttpClient(ABC):
    """The base class of `HttpRegistry` and `AsyncHttpRegistry`, with everything that they have in common."""

    def __init__(self, config: RegistryConfig | None, network: Any, telemetry: Telemetry | None) -> None:
        if config is not None and not isinstance(config, RegistryConfig):
            raise InvalidConfiguration(
                f"config is of type {type(config).__name__}: pass a configuration, RegistryConfig(url=…, token=…)"
            )
        self.config = config or RegistryConfig.from_environment()
        self.resilience = Resilience(self.config, telemetry=telemetry)
        self.origin: str = Origin(self.config.url, self.config.token)
        self._network = network
        self._transport: Any
        self._cache = ResolveCache.of(self.config, self.resilience.telemetry)
        self._process = os.getpid()
        self._closed = False
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._connect()

    def circuits(self) -> dict[str, CircuitState]:
        """Return the state of each circuit that calls have used; the key is the endpoint and the class of routes."""
        self._reset_if_forked()
        return self.resilience.circuits()

    def wrap_transport(self, wrap: Callable[[Any], Any]) -> None:
        """Replace the transport by `wrap(transport)`, which must have the methods `send` and `close`.

        `common_lib.faults` uses this. Cache, retries and circuits use the new transport.
        """
        self._reset_if_forked()
        self._transport = wrap(self._transport)

    def _steps(self, operation: Operation[Any]) -> CallSteps:
        """Return the steps of one call; use the cache if there is one."""
        if self._closed:
            raise RegistryClosed(f"the client of {self.origin} is closed: create a new client")
        self._reset_if_forked()
        chain = self.resilience
        if self._cache is None:
            return chain.steps(operation)
        return self._cache.steps(
            operation, lambda *began: chain.steps(operation, *began), lambda: chain.is_rejecting(operation.route_class)
        )

    def _refresh_steps(self, operation: Operation[Any]) -> CallSteps:
        cache = cast("ResolveCache", self._cache)
        return cache.refresh_steps(operation, lambda *began: self.resilience.steps(operation, *began))

    def _reset_if_forked(self) -> None:
        """In a forked process, replace the connections and locks of the parent process; keep the stored answers."""
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        self._abandon_connections()
        self.resilience = Resilience(self.config, telemetry=self.resilience.telemetry)
        if self._cache is not None:
            self._cache = self._cache.copy_for_fork()
        self._connect()

    @abstractmethod
    def _abandon_connections(self) -> None:
        """Release the inherited connections in this process only: the parent process still uses them."""

    @abstractmethod
    def _connect(self) -> None:
        """Create the transport of this process."""

    def _register_finalizer(self, *actions: Callable[[], object], abandon: Callable[[], object]) -> None:
        """Arrange to save the cache and run `actions` when the client is closed or freed, or the interpreter exits.

        A forked process runs `abandon` instead, because threads of the parent process may hold the locks.
        """
        if self._finalizer is not None:
            self._finalizer.detach()
        save = () if self._cache is None else (self._cache.save,)
        self._finalizer = weakref.finalize(self, _run_all, self._process, abandon, *save, *actions)

    def _translate_closed_pool(self, error: RuntimeError) -> Exception:
        """Return `RegistryClosed` instead of the error of httpx if the client is closed, otherwise `error`."""
        return RegistryClosed(f"the client of {self.origin} was closed during a call") if self._closed else error


def advance(steps: CallSteps, reply: Any) -> Any:
    """Pass a reply to the steps of a call, and return the next step.

    Raise an `InvalidConfiguration` inside the steps, so that they can serve a stale answer instead.
    """
    return steps.throw(reply) if isinstance(reply, InvalidConfiguration) else steps.send(reply)


def _run_all(process: int, abandon: Callable[[], object], *actions: Callable[[], object]) -> None:
    if process != os.getpid():
        abandon()
        return
    for action in actions:
        action()
