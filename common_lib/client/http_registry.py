"""The registry over HTTP, blocking and asynchronous: two small drivers of one policy."""

import asyncio
import codecs
import contextlib
import os
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from common_lib.client.async_transport import AsyncTransport, outcome_of
from common_lib.client.background import Background
from common_lib.client.cache import CallSteps, Refresh, ResolveCache, Save, Wait
from common_lib.client.policy import CircuitState, Pause, Policy, Send
from common_lib.client.questions import Question
from common_lib.client.telemetry import Telemetry
from common_lib.client.transport import Transport
from common_lib.config import RegistryConfig
from common_lib.errors import InvalidConfiguration, RegistryClosed, RegistryError
from common_lib.operations.base import Answer, Operation
from common_lib.origin import Origin
from common_lib.registry import AsyncModelRegistry, ModelRegistry
from common_lib.repetition import REPEATABLE, note

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
_CLOSING_S: Final = 1.0
_inherited: Final[list[AsyncTransport]] = []
# The first connection imports it; forked in the middle of that import, a child would wait for it for ever.
codecs.lookup("idna")


class _Client(ABC):
    """What both drivers hold: the rules, what is known, and the process they belong to."""

    def __init__(self, config: RegistryConfig | None, telemetry: Telemetry | None) -> None:
        if config is not None and not isinstance(config, RegistryConfig):
            raise InvalidConfiguration(
                f"a registry needs a configuration, not {type(config).__name__}: pass RegistryConfig(url=…, token=…)"
            )
        self.config = config or RegistryConfig.from_environment()
        self.policy = Policy(self.config, telemetry=telemetry)
        self.origin: str = Origin(self.config.url, self.config.token)
        self._cache = ResolveCache.of(self.config, self.policy.telemetry)
        self._process = os.getpid()
        self._closed = False
        self._last_word: weakref.finalize[..., Any] | None = None

    def _steps(self, operation: Operation[Any]) -> CallSteps:
        """The steps of one call, through the cache if there is one."""
        if self._closed:
            raise RegistryClosed(f"the client of {self.origin} was closed: make another one")
        self._settle()
        policy = self.policy
        if self._cache is None:
            return policy.steps(operation)
        return self._cache.steps(
            operation, lambda *began: policy.steps(operation, *began), lambda: policy.rejects(operation.route_class)
        )

    def _refreshing(self, operation: Operation[Any]) -> CallSteps:
        cache = cast("ResolveCache", self._cache)
        return cache.refreshing(operation, lambda *began: self.policy.steps(operation, *began))

    def _settle(self) -> None:
        """Begin anew if this process was forked off since then: threads of the parent may hold its locks for ever."""
        if self._process != os.getpid():
            self._begin_anew()

    def _begin_anew(self) -> None:
        """After a fork: connections and locks are the parent's, what is known is known here too."""
        self._process = os.getpid()
        self._abandon()
        self.policy = Policy(self.config, telemetry=self.policy.telemetry)
        if self._cache is not None:
            self._cache = self._cache.forked()
        self._connect()

    @abstractmethod
    def _abandon(self) -> None:
        """Let go of connections that are the parent's."""

    @abstractmethod
    def _connect(self) -> None:
        """Begin with connections of one's own."""

    def _promise(self, *ends: Callable[[], object], abandon: Callable[[], object]) -> None:
        """Do this when the client is closed, or forgotten, or the interpreter ends, so that the next process knows.

        A process that was forked off does `abandon` instead: a thread that is not there may hold any other lock.
        """
        if self._last_word is not None:
            self._last_word.detach()
        save = () if self._cache is None else (self._cache.save,)
        self._last_word = weakref.finalize(self, _do, self._process, abandon, *save, *ends)

    def _told(self, error: RuntimeError) -> Exception:
        """What httpx says of a pool that was closed in the middle of a call, as one of our errors."""
        return (
            RegistryClosed(f"the client of {self.origin} was closed in the middle of a call") if self._closed else error
        )


def _next(steps: CallSteps, reply: Any) -> Any:
    # The network cannot be set up: the steps decide whether an older answer will do.
    return steps.throw(reply) if isinstance(reply, InvalidConfiguration) else steps.send(reply)


def _do(process: int, abandon: Callable[[], object], *ends: Callable[[], object]) -> None:
    if process != os.getpid():
        abandon()
        return
    for end in ends:
        end()


class HttpRegistry(_Client, ModelRegistry):
    """The registry at an address, for threads and scripts; one instance serves any number of threads.

    Without a configuration, `REGISTRY_*` of the environment is read. `transport` replaces the network, as httpx's
    transports do. A process that is forked off goes on with connections of its own.

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
        super().__init__(config, telemetry)
        self._network = transport
        self._transport: Transport
        self._connect()

    def call(self, operation: Operation[T]) -> T:
        """Send one operation, several times if need be, and read its answer.

        Raises:
            RequestRefused: the registry said no.
            RegistryUnavailable: no attempt was answered; after a write, `retry` repeats it without doing it twice.
            RegistryClosed: `close` was called before.
        """
        answer = None
        try:
            answer = self._driven(operation, self._steps(operation))
            return operation.result(answer)
        except REPEATABLE as error:
            note(error, operation, answered=answer is not None)
            raise

    def circuits(self) -> dict[str, CircuitState]:
        """The circuits that calls have met so far, by address and class of routes."""
        self._settle()
        return self.policy.circuits()

    def intercept(self, between: Callable[[Any], Any]) -> None:
        """Put something in the place of what sends attempts: it has `send` and `close`, and is made of what was there.

        `common_lib.faults` does so; cache, retries and circuits work on top of it.
        """
        self._settle()
        self._transport = between(self._transport)

    def _connect(self) -> None:
        self._transport = Transport(self.config, self._network)
        self._promise(self._transport.close, abandon=self._transport.abandon)
        self._background = Background()

    def _abandon(self) -> None:
        # A transport that a test or `faults` has put in its place holds no sockets of its own.
        if isinstance(self._transport, Transport):
            self._transport.abandon()

    def _driven(self, operation: Operation[Any], steps: CallSteps) -> Answer:
        reply: Any = None
        try:
            while True:
                step = _next(steps, reply)
                reply = None
                match step:
                    case Send(timeout_s, headers, url):
                        try:
                            reply = self._transport.send(operation, timeout_s, headers, url)
                        except InvalidConfiguration as error:
                            reply = error
                    case Pause(seconds):
                        time.sleep(seconds)
                    case Wait(outcome, seconds):
                        reply = outcome.result() if wait([outcome], seconds).done else None
                    case Refresh(asked):
                        self._background.submit(partial(self._refresh, asked))
                    case Save():
                        self._background.submit(cast("ResolveCache", self._cache).save)
        except StopIteration as done:
            return cast("Answer", done.value)
        except RuntimeError as error:
            raise self._told(error) from None
        finally:
            # Interrupted: the policy gives back what it holds for the call.
            steps.close()

    def _refresh(self, operation: Operation[Any]) -> None:
        with contextlib.suppress(RegistryError):
            self._driven(operation, self._refreshing(operation))

    def close(self) -> None:
        """Close the connections and write the snapshot; calls from now on raise `RegistryClosed`."""
        if self._closed:
            return
        self._settle()
        self._closed = True
        self._background.close(_CLOSING_S)
        if self._last_word is not None:
            self._last_word()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncHttpRegistry(_Client, AsyncModelRegistry):
    """The registry at an address, for asyncio; one instance serves any number of tasks, also of several event loops.

    Each loop has connections of its own, which are closed when it ends; so one instance may be used in several
    `asyncio.run`, one after the other or in several threads at once.
    """

    def __init__(
        self,
        config: RegistryConfig | None = None,
        *,
        transport: "httpx.AsyncBaseTransport | None" = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        super().__init__(config, telemetry)
        self._network = transport
        self._transport: AsyncTransport
        self._connect()

    async def call(self, operation: Operation[T]) -> T:
        """Send one operation, several times if need be, and read its answer.

        Raises:
            RequestRefused: the registry said no.
            RegistryUnavailable: no attempt was answered; after a write, `retry` repeats it without doing it twice.
            RegistryClosed: `close` was called before.
        """
        answer = None
        try:
            answer = await self._driven(operation, self._steps(operation))
            return operation.result(answer)
        except REPEATABLE as error:
            note(error, operation, answered=answer is not None)
            raise

    def circuits(self) -> dict[str, CircuitState]:
        """The circuits that calls have met so far, by address and class of routes."""
        self._settle()
        return self.policy.circuits()

    def intercept(self, between: Callable[[Any], Any]) -> None:
        """Put something in the place of what sends attempts: it has `send` and `close`, and is made of what was there.

        `common_lib.faults` does so; cache, retries and circuits work on top of it.
        """
        self._settle()
        self._transport = between(self._transport)

    def _connect(self) -> None:
        self._transport = AsyncTransport(self.config, self._network)
        self._promise(self._transport.drop_ended, abandon=partial(_inherited.append, self._transport))
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._background: dict[asyncio.Task[None], Callable[[], None] | None] = {}

    def _abandon(self) -> None:
        # Sockets of an event loop that is not this process's: closed as an object, they would disturb the parent's.
        _inherited.append(self._transport)

    async def _driven(self, operation: Operation[Any], steps: CallSteps) -> Answer:
        self._forget_ended_loops()
        reply: Any = None
        try:
            while True:
                step = _next(steps, reply)
                reply = None
                match step:
                    case Send(timeout_s, headers, url):
                        try:
                            reply = await self._transport.send(operation, timeout_s, headers, url)
                        except InvalidConfiguration as error:
                            reply = error
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                    case Wait(outcome, seconds):
                        reply = await outcome_of(outcome, seconds)
                    case Refresh(asked, question):
                        # One that is cancelled before it begins ends nothing by itself.
                        self._begin(self._refresh(asked), partial(self._give_up, asked, question))
                    case Save():
                        self._begin(asyncio.to_thread(cast("ResolveCache", self._cache).save))
        except StopIteration as done:
            return cast("Answer", done.value)
        except RuntimeError as error:
            raise self._told(error) from None
        finally:
            # Cancelled or interrupted: the policy gives back what it holds for the call.
            steps.close()

    def _give_up(self, operation: Operation[Any], question: Question) -> None:
        cast("ResolveCache", self._cache).give_up(operation, question)

    def _forget_ended_loops(self) -> None:
        """Give up what a loop was about to do in the background when it was closed, so that it is begun anew."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop() is loop:
            return
        self._loop = weakref.ref(loop)
        for task in [task for task in list(self._background) if task.get_loop().is_closed()]:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it is known
            self._end(task)

    def _end(self, task: "asyncio.Task[None]") -> None:
        at_end = self._background.pop(task, None)
        if at_end is not None:
            at_end()

    def _begin(self, work: Coroutine[Any, Any, None], at_end: Callable[[], None] | None = None) -> None:
        # In a context of its own: the deadline of who happened to come by is not that of the work.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._background[task] = at_end
        task.add_done_callback(self._end)

    async def _refresh(self, operation: Operation[Any]) -> None:
        with contextlib.suppress(RegistryError):
            await self._driven(operation, self._refreshing(operation))

    async def close(self) -> None:
        """Close the connections and write the snapshot; calls from now on raise `RegistryClosed`."""
        if self._closed:
            return
        self._settle()
        self._closed = True
        here = asyncio.get_running_loop()
        ours = [task for task in list(self._background) if task.get_loop() is here]
        for task in set(self._background) - set(ours):
            # Of another loop, which may be just ending.
            with contextlib.suppress(RuntimeError):
                task.get_loop().call_soon_threadsafe(task.cancel)
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)
        if self._last_word is not None:
            await asyncio.to_thread(self._last_word)
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
