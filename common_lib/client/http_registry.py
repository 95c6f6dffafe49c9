"""The registry over HTTP, blocking and asynchronous: two small drivers of one policy."""

import asyncio
import contextlib
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from common_lib.client.cache import Refresh, ResolveCache
from common_lib.client.policy import Pause, Policy, Send
from common_lib.client.telemetry import Telemetry
from common_lib.client.transport import AsyncTransport, Transport
from common_lib.config import RegistryConfig
from common_lib.errors import RegistryError
from common_lib.operations.base import Answer, Operation
from common_lib.registry import AsyncModelRegistry, ModelRegistry

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
CallSteps = Generator[Send | Pause | Refresh, Any, Answer]


def stepped(cache: ResolveCache | None, policy: Policy, operation: Operation[Any]) -> CallSteps:
    """The steps of one call, through the cache if there is one."""
    if cache is None:
        return policy.steps(operation)
    return cache.steps(operation, lambda: policy.steps(operation))


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
        self._cache = ResolveCache(self.config.resolve, self.policy.telemetry) if self.config.resolve else None
        self._background = ThreadPoolExecutor(1, thread_name_prefix="registry-refresh")

    def call(self, operation: Operation[T]) -> T:
        """Send one operation, several times if need be, and read its answer.

        Raises:
            RequestRefused: the registry said no.
            RegistryUnavailable: no attempt was answered.
        """
        return operation.result(self._driven(operation, stepped(self._cache, self.policy, operation)))

    def _driven(self, operation: Operation[Any], steps: CallSteps) -> Answer:
        reply: Any = None
        try:
            while True:
                step = steps.send(reply)
                reply = None
                match step:
                    case Send(timeout_s, headers):
                        reply = self._transport.send(operation, timeout_s, headers)
                    case Pause(seconds):
                        time.sleep(seconds)
                    case Refresh(asked):
                        self._background.submit(self._refresh, asked)
        except StopIteration as done:
            return cast("Answer", done.value)
        finally:
            # Interrupted: the policy gives back what it holds for the call.
            steps.close()

    def _refresh(self, operation: Operation[Any]) -> None:
        answer: Answer | None = None
        try:
            with contextlib.suppress(RegistryError):
                answer = self._driven(operation, self.policy.steps(operation))
        finally:
            if self._cache is not None:
                self._cache.refreshed(operation, answer)

    def close(self) -> None:
        """Close the connections."""
        self._background.shutdown(cancel_futures=True)
        if self._cache is not None:
            self._cache.save()
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
        self._cache = ResolveCache(self.config.resolve, self.policy.telemetry) if self.config.resolve else None
        self._background: set[asyncio.Task[None]] = set()

    async def call(self, operation: Operation[T]) -> T:
        """Send one operation, several times if need be, and read its answer.

        Raises:
            RequestRefused: the registry said no.
            RegistryUnavailable: no attempt was answered.
        """
        return operation.result(await self._driven(operation, stepped(self._cache, self.policy, operation)))

    async def _driven(self, operation: Operation[Any], steps: CallSteps) -> Answer:
        reply: Any = None
        try:
            while True:
                step = steps.send(reply)
                reply = None
                match step:
                    case Send(timeout_s, headers):
                        reply = await self._transport.send(operation, timeout_s, headers)
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                    case Refresh(asked):
                        task = asyncio.ensure_future(self._refresh(asked))
                        self._background.add(task)
                        task.add_done_callback(self._background.discard)
        except StopIteration as done:
            return cast("Answer", done.value)
        finally:
            # Cancelled or interrupted: the policy gives back what it holds for the call.
            steps.close()

    async def _refresh(self, operation: Operation[Any]) -> None:
        answer: Answer | None = None
        try:
            with contextlib.suppress(RegistryError):
                answer = await self._driven(operation, self.policy.steps(operation))
        finally:
            if self._cache is not None:
                self._cache.refreshed(operation, answer)

    async def close(self) -> None:
        """Close the connections."""
        for task in self._background:
            task.cancel()
        if self._cache is not None:
            await asyncio.to_thread(self._cache.save)
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
