"""The registry over HTTP, blocking and asynchronous: two small drivers of one policy."""

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from common_lib.client.policy import Pause, Policy, Send
from common_lib.client.telemetry import Telemetry
from common_lib.client.transport import AsyncTransport, Transport
from common_lib.config import RegistryConfig
from common_lib.operations.base import Operation
from common_lib.registry import AsyncModelRegistry, ModelRegistry

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class HttpRegistry(ModelRegistry):
    """The registry at an address, for threads and scripts; one instance serves any number of threads.

    Without a configuration, `REGISTRY_URL` and `REGISTRY_TOKEN` are read. `transport` replaces the network, as
    httpx's transports do.

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
        self.config = config or RegistryConfig.from_environment()
        self.policy = Policy(self.config, telemetry=telemetry)
        self.origin = self.config.url
        self._transport = Transport(self.config, transport)

    def call(self, operation: Operation[T]) -> T:
        """Send one operation, several times if need be, and read its answer.

        Raises:
            RequestRefused: the registry said no.
            RegistryUnavailable: no attempt was answered.
        """
        steps = self.policy.steps(operation)
        reply: Any = None
        try:
            while True:
                step = steps.send(reply)
                match step:
                    case Send(timeout_s, headers):
                        reply = self._transport.send(operation, timeout_s, headers)
                    case Pause(seconds):
                        time.sleep(seconds)
                        reply = None
        except StopIteration as done:
            return operation.result(done.value)
        finally:
            # Cancelled or interrupted: the policy gives back what it holds for the call.
            steps.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncHttpRegistry(AsyncModelRegistry):
    """The registry at an address, for asyncio; one instance serves any number of tasks of one event loop."""

    def __init__(
        self,
        config: RegistryConfig | None = None,
        *,
        transport: "httpx.AsyncBaseTransport | None" = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.config = config or RegistryConfig.from_environment()
        self.policy = Policy(self.config, telemetry=telemetry)
        self.origin = self.config.url
        self._transport = AsyncTransport(self.config, transport)

    async def call(self, operation: Operation[T]) -> T:
        """Send one operation, several times if need be, and read its answer.

        Raises:
            RequestRefused: the registry said no.
            RegistryUnavailable: no attempt was answered.
        """
        steps = self.policy.steps(operation)
        reply: Any = None
        try:
            while True:
                step = steps.send(reply)
                match step:
                    case Send(timeout_s, headers):
                        reply = await self._transport.send(operation, timeout_s, headers)
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                        reply = None
        except StopIteration as done:
            return operation.result(done.value)
        finally:
            # Cancelled or interrupted: the policy gives back what it holds for the call.
            steps.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
