"""Repeat a failed call with the same idempotency key, so that the registry executes it only once.

If a write gets no answer, the client does not know whether the registry has executed the write. A new call would have a
new key, and the registry might execute the write twice. So the error contains the request, and `registry.retry(error)`
sends the same request again. A call with several requests continues at the request that failed: the answers to its
earlier requests are recorded and replayed.
"""

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Final, Generic, TypeVar

from common_lib.errors import InvalidRequest, ProtocolError, RegistryError, RegistryUnavailable, RequestInFlight
from common_lib.operations.base import Flow, Operation

T = TypeVar("T")
# After these errors, the same call may succeed later, or may have succeeded already.
REPEATABLE: Final = (RegistryUnavailable, ProtocolError, RequestInFlight)
_ADVICE: Final = (
    "it is unknown whether the change was made: call registry.retry(error) to repeat the same request with the same "
    "idempotency key, {key!r}, so that the change is made only once"
)


def make_repeatable(error: RegistryError, operation: Operation[Any], *, has_answer: bool = False) -> None:
    """Add to an error its failed operation, a function that repeats it, and whether its outcome is unknown."""
    key = operation.idempotency_key
    error.operation = operation
    error.repeat = lambda registry: registry.call(operation)
    if key is None:
        # A read, or an upload of bytes, which are stored under their digest. Both can be repeated without harm.
        error.outcome_unknown = False
        return
    error.idempotency_key = key
    error.outcome_unknown = has_answer or error.outcome_unknown or isinstance(error, RequestInFlight)
    if error.outcome_unknown:
        error.advice = _ADVICE.format(key=key)


def get_repeat(error: RegistryError) -> Callable[[Any], Any]:
    """Return the function that repeats the call that raised an error. Its argument is the registry to use.

    Raises:
        InvalidRequest: a repetition of the call cannot succeed, or the error comes from another process.
    """
    repeat: Callable[[Any], Any] | None = getattr(error, "repeat", None)
    if repeat is None:
        raise InvalidRequest(
            f"error is a {type(error).__name__} of a call that cannot be repeated",
            code="invalid_request",
            remedy="pass the RegistryUnavailable error that you caught; after any other error, make a new call",
        )
    return repeat


def chain_repeats(first: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return a function that calls `first`. After a failure, its next call repeats only the request that failed."""
    newest = [first]

    def repeat(registry: Any) -> T:
        try:
            return newest[0](registry)
        except REPEATABLE as error:
            newest[0] = error.repeat or newest[0]
            raise

    return repeat


class Recording(Generic[T]):
    """One run of a flow, with the recorded replies to its steps, so that the next run can continue at the failed step.

    All runs of one call share the writes that were sent, by the position of each write. So a write always has the same
    idempotency key, however often the call is repeated.
    """

    def __init__(
        self,
        build: Callable[[], Flow[T]],
        replies: list[tuple[bool, Any]] | None = None,
        sent: dict[int, Operation[Any]] | None = None,
    ) -> None:
        self._build = build
        self._replayed = replies or []
        self._sent = {} if sent is None else sent
        self._writes = 0
        self._replies: list[tuple[bool, Any]] = []
        self._has_written = False

    def steps(self) -> Flow[T]:
        """Run the flow, first with the recorded replies of the previous run, then with new replies of the registry."""
        flow: Generator[Any, Any, T] = self._build()
        recorded = deque(self._replayed)
        try:
            step = next(flow)
            while True:
                if recorded:
                    failed, reply = recorded.popleft()
                else:
                    step = self._reuse_write(step)
                    try:
                        failed, reply = False, (yield step)
                    except Exception as error:  # noqa: BLE001 - the flow decides
                        failed, reply = True, error
                self._record(step, reply, failed=failed)
                step = flow.throw(reply) if failed else flow.send(reply)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        finally:
            flow.close()

    def next_run(self) -> "Recording[T]":
        """Return the run that repeats this run from its failed step; from the start if this run has sent no write."""
        if not self._has_written:
            return Recording(self._build, sent=self._sent)
        return Recording(self._build, self._replies[:-1], self._sent)

    def _reuse_write(self, step: Any) -> Any:
        # The flow has built this write with a new key. The earlier write, with its old key, is sent instead.
        if not _is_write(step):
            return step
        before = self._sent.setdefault(self._writes, step)
        return before if (step.method, step.path) == (before.method, before.path) else step

    def _record(self, step: Any, reply: Any, *, failed: bool) -> None:
        self._replies.append((failed, reply))
        if not _is_write(step):
            return
        self._has_written = True
        if failed and not isinstance(reply, REPEATABLE):
            # The registry refused the write, so it had no effect. The next run sends a new write.
            self._sent.pop(self._writes, None)
        self._writes += 1


def _is_write(step: Any) -> bool:
    return isinstance(step, Operation) and step.idempotency_key is not None
