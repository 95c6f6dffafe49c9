"""Faults of the network between both clients and a real server: nothing is lost or executed twice."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from common_lib import AsyncHttpRegistry, HttpRegistry, ModelRegistry, RegistryConfig
from common_lib.errors import AnswerTimedOut, ConnectionFailed, RegistryUnavailable
from common_lib.types.events import Event
from tests.conftest import Server, ViaAsync
from tests.support.fault_proxy import (
    ByteByByte,
    CutAnswer,
    CutRequest,
    Fault,
    FaultProxy,
    HalfOpen,
    Latency,
    LostAnswer,
    faulty,
)

Connect = Callable[..., ModelRegistry]
MIB = 1024 * 1024


@pytest.fixture
def proxy(sqlite_server: Server) -> Iterator[FaultProxy]:
    """Start a proxy in front of the server of the session."""
    with faulty(sqlite_server.url) as proxy:
        yield proxy


@pytest.fixture(params=["blocking", "async"])
def connect(request: pytest.FixtureRequest, proxy: FaultProxy, sqlite_server: Server) -> Iterator[Connect]:
    """Provide a function that makes registries of either client, connected through the proxy."""
    with contextlib.ExitStack() as stack:

        def config(options: dict[str, Any]) -> RegistryConfig:
            return RegistryConfig(url=proxy.url, token=sqlite_server.token, first_pause_s=0.01, **options)

        if request.param == "blocking":
            yield lambda **options: stack.enter_context(HttpRegistry(config(options)))
        else:
            portal = stack.enter_context(start_blocking_portal())

            def make(**options: Any) -> ModelRegistry:
                async def open_registry() -> AsyncHttpRegistry:
                    return AsyncHttpRegistry(config(options))

                registry = portal.call(open_registry)
                stack.callback(portal.call, registry.close)
                return ViaAsync(portal, registry)

            yield make


TRANSIENT = [CutRequest(10), CutAnswer(5), CutAnswer(300), LostAnswer(), HalfOpen(), Latency(0.7), ByteByByte(0.02)]


@pytest.mark.parametrize("fault", TRANSIENT, ids=lambda fault: type(fault).__name__)
def test_a_read_succeeds_despite_one_fault(connect: Connect, proxy: FaultProxy, fault: Fault) -> None:
    """The second attempt is answered, on a new connection or on an open one."""
    registry = connect(attempt_timeout_s=0.5)
    proxy.plan(fault)
    assert registry.principals.whoami().name == "admin"
    proxy.plan(fault)
    assert registry.principals.whoami().name == "admin"
    assert len(proxy.requests) == 4


@pytest.mark.parametrize("fault", [HalfOpen(), Latency(5.0), ByteByByte(0.3)], ids=lambda fault: type(fault).__name__)
def test_a_call_to_a_server_that_never_finishes_ends_at_the_deadline(
    connect: Connect, proxy: FaultProxy, fault: Fault
) -> None:
    """Also if the server sends a byte in time, again and again."""
    proxy.always = fault
    registry = connect(attempt_timeout_s=0.4, deadline_s=1.0)
    began = time.monotonic()
    with pytest.raises(RegistryUnavailable) as failed:
        registry.principals.whoami()
    took_s = time.monotonic() - began
    print(f"{took_s:.3f} s of 1.0")
    assert took_s < 2.0
    assert failed.value.tried


def test_a_lasting_fault_raises_its_error_after_all_attempts(connect: Connect, proxy: FaultProxy) -> None:
    """Its class depends on the fault."""
    proxy.always = CutAnswer(100)
    with pytest.raises(ConnectionFailed, match="tried 3 times"):
        connect().principals.whoami()
    proxy.always = HalfOpen()
    with pytest.raises(AnswerTimedOut, match="tried 2 times"):
        connect(attempts=2, attempt_timeout_s=0.2).principals.whoami()


@pytest.mark.parametrize(
    "fault", [LostAnswer(), CutAnswer(40), CutRequest(250)], ids=lambda fault: type(fault).__name__
)
def test_a_write_whose_answer_is_lost_is_executed_once(
    connect: Connect, proxy: FaultProxy, sqlite_server: Server, name: str, fault: Fault
) -> None:
    """The retry has the same key and receives the first answer: one model, one event."""
    proxy.plan(fault, of=b"POST /v1/models ")
    model = connect().models.create(name, "forecasting")
    keys = [_header(head, b"idempotency-key") for head in proxy.requests if head.startswith(b"POST /v1/models ")]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    with sqlite_server.registry() as other:
        assert other.models.get(name) == model
        assert [event.type for event in _log(other) if event.subject.endswith(name)] == ["registry.model.created"]


def test_an_upload_continues_where_it_was_cut(connect: Connect, proxy: FaultProxy, name: str, tmp_path: Path) -> None:
    """Two cuts in the second part: the first part is sent once, and each try of the second one sends at most that part.

    There may be more tries than cuts: until the server has noticed that a connection was reset, it refuses the next try
    as a concurrent one, which the client learns after it has sent the part.
    """
    file = tmp_path / "model.bin"
    file.write_bytes(os.urandom(34 * MIB))
    registry = connect()
    registry.models.create(name, "forecasting")
    for _ in range(2):
        proxy.plan(CutRequest(MIB), of=b"/parts/33554432 ")
    version = registry.register(name, file, framework="test")
    assert version.version == 1
    assert proxy.planned == 0
    parts = [head.split(b" ", 2)[1].rpartition(b"/parts/") for head in proxy.requests if b"/parts/" in head]
    tries = [int(start) for _, _, start in parts]
    assert tries == [0, *[32 * MIB] * (len(tries) - 1)]
    assert 4 <= len(tries) <= 12
    assert proxy.sent_up < 32 * MIB + (len(tries) - 1) * 2 * MIB + MIB


@pytest.mark.parametrize(("size", "cut", "times"), [(16 * MIB, 3 * MIB, 5), (MIB, 200_000, 6), (MIB, 200, 2)])
def test_a_download_continues_where_it_was_cut(  # noqa: PLR0917 - fixtures
    connect: Connect, proxy: FaultProxy, name: str, tmp_path: Path, size: int, cut: int, times: int
) -> None:
    """More often than a call has attempts; the received bytes are those that were sent."""
    file = tmp_path / "model.bin"
    file.write_bytes(os.urandom(size))
    registry = connect()
    registry.models.create(name, "forecasting")
    registry.register(name, file, framework="test")
    before = proxy.sent_down
    proxy.plan(*[CutAnswer(cut)] * times, of=b"/files/")
    registry.download(f"models:/{name}/1", tmp_path / "fetched")
    assert (tmp_path / "fetched" / "model.bin").read_bytes() == file.read_bytes()
    assert proxy.sent_down - before < size + 100_000
    assert proxy.planned <= 1


def _log(registry: ModelRegistry) -> Iterator[Event]:
    events = registry.events.after(0)
    while events:
        yield from events
        events = registry.events.after(int(events[-1].sequence))


def _header(head: bytes, name: bytes) -> bytes:
    lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return next(line.partition(b":")[2].strip() for line in lines if line.lower().startswith(name + b":"))
