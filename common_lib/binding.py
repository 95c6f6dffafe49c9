"""Convert operations and flows to methods of a registry, so that each is written, typed and documented only once.

`get = call(ops.get)` creates a method that builds the operation and passes it to `self.call`. The method has the
signature and the docstring of the operation.
"""

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from common_lib.errors import InvalidRequest, LocalDiskFailed
from common_lib.operations.answers import Cursor
from common_lib.operations.base import Flow, Operation, Parallel, RunInThread, next_page
from common_lib.repetition import REPEATABLE, Recording
from common_lib.types.base import Page

_MAX_TEXT = 400
P = ParamSpec("P")
T = TypeVar("T")
Step = Operation[Any] | RunInThread[Any] | Parallel[Any]


def call(build: Callable[P, Operation[T]]) -> Callable[Concatenate[Any, P], T]:
    """Create a blocking method from a function that builds an operation."""

    def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self.call(_build(build, *args, **kwargs))

    return _imitate(method, build)  # type: ignore[no-any-return]


def acall(build: Callable[P, Operation[T]]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Create an asynchronous method from a function that builds an operation."""

    async def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return await self.call(_build(build, *args, **kwargs))

    return _imitate(method, build)  # type: ignore[no-any-return]


def pages(build: Callable[P, Operation[Page[T]]]) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """Create a method that yields the items of all pages of a list, and requests each page only when it is needed."""

    def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        def items(operation: Operation[Page[T]] | None) -> Iterator[T]:
            cursor = Cursor()
            while operation is not None:
                page = self.call(operation)
                yield from page.items
                operation = next_page(operation, page, cursor)

        return items(_build(build, *args, **kwargs))

    return _imitate(method, build)  # type: ignore[no-any-return]


def apages(build: Callable[P, Operation[Page[T]]]) -> Callable[Concatenate[Any, P], AsyncIterator[T]]:
    """Create an asynchronous method that yields the items of all pages of a list, as `pages` does."""

    def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        async def items(operation: Operation[Page[T]] | None) -> AsyncIterator[T]:
            cursor = Cursor()
            while operation is not None:
                page = await self.call(operation)
                for item in page.items:
                    yield item
                operation = next_page(operation, page, cursor)

        return items(_build(build, *args, **kwargs))

    return _imitate(method, build)  # type: ignore[no-any-return]


def flow(build: Callable[Concatenate[str, P], Flow[T]]) -> Callable[Concatenate[Any, P], T]:
    """Create a blocking method from a flow. The first argument of the flow is the origin of the registry."""

    def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return _run(Recording(partial(_build, build, self.origin, *args, **kwargs)), self)

    return _imitate(method, build, skipped=1)  # type: ignore[no-any-return]


def aflow(build: Callable[Concatenate[str, P], Flow[T]]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Create an asynchronous method from a flow. Work on files runs in threads."""

    async def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return await _arun(Recording(partial(_build, build, self.origin, *args, **kwargs)), self)

    return _imitate(method, build, skipped=1)  # type: ignore[no-any-return]


def _run(recording: Recording[T], registry: Any) -> T:
    with translate_os_errors():
        try:
            return run(recording.steps(), registry.call)
        except REPEATABLE as error:
            error.repeat = lambda other: _run(recording.next_run(), other)
            raise


async def _arun(recording: Recording[T], registry: Any) -> T:
    with translate_os_errors():
        try:
            return await arun(recording.steps(), registry.call)
        except REPEATABLE as error:
            error.repeat = lambda other: _arun(recording.next_run(), other)
            raise


@contextlib.contextmanager
def translate_os_errors() -> Iterator[None]:
    """Replace an `OSError` about a local file by `LocalDiskFailed`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError):
            # The error comes from code of the caller, such as a progress display that writes to a closed pipe.
            raise
        raise LocalDiskFailed(str(error.filename or ""), why=error.strerror or str(error)) from error


def _build(build: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Build an operation or a flow from the arguments of a method.

    Raises:
        InvalidRequest: an argument has a wrong type or value.
        TypeError: an argument is missing, or is not a parameter of the method.
    """
    try:
        return build(*args, **kwargs)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        below = error.__traceback__.tb_next if error.__traceback__ else None
        if below is None:
            raise
        raise InvalidRequest(
            f"{build.__name__}: {error}"[:_MAX_TEXT],
            code="invalid_request",
            remedy="pass values of the types in the signature",
        ) from None


def run(steps: Flow[T], answer: Callable[[Operation[Any]], Any]) -> T:
    """Run a flow to its end, and return its result. The flow can handle an error of a step, raised inside it."""
    try:
        step = next(steps)
        while True:
            try:
                reply = _execute(step, answer)
            except Exception as error:  # noqa: BLE001 - the flow decides
                step = steps.throw(error)
            else:
                step = steps.send(reply)
    except StopIteration as done:
        return cast("T", done.value)
    finally:
        steps.close()


def _execute(step: Step, answer: Callable[[Operation[Any]], Any]) -> Any:
    match step:
        case RunInThread():
            return step.work()
        case Parallel(flows) if len(flows) > 1:
            with ThreadPoolExecutor(
                min(step.max_concurrency, len(flows)), thread_name_prefix="registry-transfer"
            ) as pool:
                running = [pool.submit(run, one, answer) for one in flows]
                try:
                    return [future.result() for future in _wait_for(running)]
                finally:
                    pool.shutdown(cancel_futures=True)
        case Parallel(flows):
            return [run(one, answer) for one in flows]
        case _:
            return answer(step)


def _wait_for(running: list[Future[T]]) -> list[Future[T]]:
    """Wait until all flows have succeeded or one has failed. Return the failed flows, or else all flows."""
    ended, _ = wait(running, return_when=FIRST_EXCEPTION)
    failed = [future for future in running if future in ended and future.exception() is not None]
    return failed or running


async def arun(steps: Flow[T], answer: Callable[[Operation[Any]], Awaitable[Any]]) -> T:
    """Run a flow to its end, as `run` does; `answer` is asynchronous."""
    try:
        step = next(steps)
        while True:
            try:
                reply = await _aexecute(step, answer)
            except Exception as error:  # noqa: BLE001 - the flow decides
                step = steps.throw(error)
            else:
                step = steps.send(reply)
    except StopIteration as done:
        return cast("T", done.value)
    finally:
        steps.close()


async def _aexecute(step: Step, answer: Callable[[Operation[Any]], Awaitable[Any]]) -> Any:
    match step:
        case RunInThread():
            return await asyncio.to_thread(step.work)
        case Parallel(flows):
            turns = asyncio.Semaphore(step.max_concurrency)

            async def run_in_turn(one: Flow[Any]) -> Any:
                async with turns:
                    return await arun(one, answer)

            running = [asyncio.ensure_future(run_in_turn(one)) for one in flows]
            try:
                return await asyncio.gather(*running)
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        case _:
            return await answer(step)


def _imitate(method: Callable[..., Any], build: Callable[..., Any], skipped: int = 0) -> Any:
    functools.update_wrapper(method, build)
    shape = inspect.signature(build)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [itself, *list(shape.parameters.values())[skipped:]]
    method.__signature__ = shape.replace(parameters=parameters)  # type: ignore[attr-defined]
    return method
