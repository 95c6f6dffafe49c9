"""The checks: each fails if a promise is broken. Tests run them on the real code and on planted faults."""

import asyncio
import errno
import shutil
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from signal import SIGKILL
from typing import Any
from unittest import mock

from common_lib.errors import RegistryError
from registry_server.infrastructure.filesystem_blobs import FilesystemBlobs
from tests.crash import clients, worlds
from tests.crash.calls import Call, Recorder, count, fail, recorded
from tests.crash.nursery import Nursery
from tests.crash.order import CLIENT, SERVER, STEPS, broken, follows
from tests.crash.power import END
from tests.crash.scenarios import ALL, CONTENT, SCENARIOS, SHA256
from tests.crash.worlds import ACTING, Refused, Session, assert_consistent, digest, serving

# Calls whose failure need not be reported: clean-up, and reads of bytes that are replaced afterwards.
UNTOLD = ("unlink blobs/staging/*", "read blobs/sha256/*", "fstat blobs/sha256/*")
REPORTED = {errno.ENOSPC: (507, "storage_full"), errno.EIO: (503, "storage_unavailable")}


def calls_of(data: Path, scenario: str) -> list[Call]:
    """Return the calls that a scenario makes without any fault."""
    recorder = Recorder(data)
    prepare, act, _ = ALL[scenario]
    worlds.run(data, prepare, act, recorder=recorder)
    shutil.rmtree(data)
    return recorder.calls


def points(calls: list[Call], *, every: bool, step: int = 1) -> list[int]:
    """Return the numbers of the calls at which a fault is injected, counted from one, and one more for the end.

    Unless it is every one, of equal calls in a row the first and the last are taken, and of those each `step`th.
    """
    lines = [None, *map(str, calls), None]
    inner = range(1, len(lines) - 1)
    chosen = [n for n in inner if every or lines[n] != lines[n - 1] or lines[n] != lines[n + 1]]
    return [*chosen[:: 1 if every else step], len(calls) + 1]


def order(data: Path, scenario: str) -> None:
    """Check that a write path makes its calls in the order of the rules, without a missing step."""
    calls = calls_of(data, scenario)
    assert not broken(SERVER, calls)
    assert follows(STEPS[scenario], calls) is None


def kill_at(nursery: Nursery, data: Path, scenario: str, *, number: int, how: str, fault: str = "") -> None:
    """Check that after a kill at that call all acknowledged data exist and the next process can continue."""
    end = nursery.run(job="serve", scenario=scenario, data=str(data), number=number, how=how, fault=fault)
    assert end.signal == SIGKILL, "the child failed; its traceback stands above"
    acknowledged = [one for one in end.acknowledged if one != ACTING]
    acting = end.acknowledged[end.acknowledged.index(ACTING) :] if ACTING in end.acknowledged else []
    asyncio.run(_restarted(data, scenario, set(acknowledged), set(acting)))
    shutil.rmtree(data)


async def _restarted(data: Path, scenario: str, acknowledged: set[str], acting: set[str]) -> None:
    _, act, damaged = SCENARIOS[scenario]
    async with serving(data) as session:
        await assert_consistent(session, acknowledged, set(damaged - acting))
        seen = Recorder(data, _whole(session, wrong := [], damaged))
        with worlds.watched(seen):
            await act(session)
        assert not wrong, f"bytes under a final name were written on: {wrong[0]}"
        await assert_consistent(session, acknowledged, set(damaged if scenario == "quarantine" else ()))


def _whole(session: Session, wrong: list[str], damaged: Iterable[str]) -> Any:
    def look(recorder: Recorder, call: Call) -> None:
        files = {file.name: file for file in (session.data / "blobs" / "sha256").glob("??/*")}
        sound = all(digest(file.read_bytes()) == name for name, file in files.items() if name not in damaged)
        wrong.extend([] if sound else [str(call)])

    return look


def fail_at(data: Path, scenario: str, number: int, code: int) -> None:
    """Check that a disk failure at that call gives a typed problem, and leaves nothing incomplete."""
    asyncio.run(_failing(data, scenario, number, code))
    shutil.rmtree(data)


async def _failing(data: Path, scenario: str, number: int, code: int) -> None:
    prepare, act, damaged = SCENARIOS[scenario]
    acknowledged: set[str] = set()
    recorder = Recorder(data, count(number, fail(code)))
    async with serving(data, acknowledged.add) as session:
        await prepare(session)
    # Opened again, as in the run that counted the calls.
    async with serving(data, acknowledged.add) as session:
        with worlds.watched(recorder):
            failed = await _refusal(act, session)
        call = recorder.calls[number - 1] if number <= len(recorder.calls) else END
        if failed is None:
            assert call.name in {"answer", "temporary-write", "end"} or _is_like(UNTOLD, call), (
                f"{call} failed, and no error was reported"
            )
        else:
            assert failed == REPORTED[code], f"{call}: {failed}"
        if not _is_like(UNTOLD[:1], call):
            await assert_consistent(session, acknowledged, set(damaged))
        await act(session)
    async with serving(data) as session:
        await assert_consistent(session, acknowledged, set(damaged if scenario == "quarantine" else ()))


async def _refusal(act: Any, session: Session) -> tuple[int, str] | None:
    try:
        await act(session)
    except Refused as refused:
        return refused.status, refused.code
    return None


def _is_like(patterns: Iterable[str], call: Call) -> bool:
    return any(fnmatchcase(str(call), pattern) for pattern in patterns)


def refusal(data: Path, scenario: str) -> None:
    """Check that a wrong request is refused also without a disk failure, and leaves nothing behind."""

    async def both() -> None:
        prepare, act, _ = SCENARIOS[scenario]
        async with serving(data) as session:
            await prepare(session)
            await act(session)
            await assert_consistent(session, set(), set())

    asyncio.run(both())


def race(data: Path, scenario: str) -> None:
    """Check that bytes stay that a client sends again between the discovery of damage and the quarantine."""
    real = FilesystemBlobs.verify

    async def both() -> None:
        prepare, act, _ = SCENARIOS[scenario]
        async with serving(data) as session:
            await prepare(session)

            async def late(self: Any, sha256: str, bytes_per_s: float = 0.0) -> Any:
                found = await real(self, sha256, bytes_per_s)
                await session.put(CONTENT)
                return found

            with mock.patch.object(FilesystemBlobs, "verify", late):
                await act(session)
            await assert_consistent(session, {SHA256}, set())

    asyncio.run(both())


def client_order(root: Path, way: str) -> None:
    """Check that a client syncs and verifies bytes before it gives them a name."""
    recorder = Recorder(root)
    with clients.registry() as registry, recorded(recorder):
        clients.WAYS[way](registry, root)
    # Documents contain their own digest, which is checked at each use.
    bytes_ = [call for call in recorder.calls if "manifests/" not in call.place and "references/" not in call.place]
    assert not broken(CLIENT, bytes_)
    assert follows(STEPS[way], recorder.calls) is None


def client_kill_at(nursery: Nursery, root: Path, way: str, number: int, fault: str = "") -> bool:
    """Return whether the client reached that call and was killed; check that no file has a wrong name."""
    end = nursery.run(job="fetch", way=way, root=str(root), number=number, fault=fault)
    assert end.signal or end.status == 0, "the child failed; its traceback stands above"
    clients.assert_whole(root)
    return bool(end.signal)


def client_fail_at(registry: Any, root: Path, way: str, number: int, code: int) -> bool:
    """Return whether there was a call of that number; check that no partial file has a name and that a retry works."""
    root.mkdir()
    recorder = Recorder(root, count(number, fail(code)))
    with recorded(recorder):
        try:
            clients.assert_fetched(clients.WAYS[way](registry, root))
        except (OSError, RegistryError):
            # The error of its own disk, or the failed verification of a copy.
            pass
        else:
            call = recorder.calls[min(number, len(recorder.calls)) - 1]
            # A failed copy by the kernel is repeated in Python; a failure of the cache of references is ignored.
            is_optional = "manifests" in call.place or "references" in call.place
            message = f"{call} failed and no warning was logged"
            assert is_optional or call.name != "fsync" or number > len(recorder.calls), message
    clients.assert_whole(root)
    clients.assert_fetched(clients.WAYS[way](registry, root))
    return number <= len(recorder.calls)


def unreadable(data: Path) -> None:
    """Check that unreadable bytes are replaced when a client sends them again."""
    calls = calls_of(data, "again")
    number = next(n for n, call in enumerate(calls, 1) if call.name == "read")
    recorder = Recorder(data, count(number, fail(errno.EIO)))

    async def both() -> None:
        prepare, act, _ = SCENARIOS["again"]
        async with serving(data) as session:
            await prepare(session)
        async with serving(data) as session:
            with worlds.watched(recorder):
                await act(session)
            await assert_consistent(session, {SHA256}, set())
        assert any(call.name == "replace" for call in recorder.calls)

    asyncio.run(both())


def first_start(folder: Path) -> None:
    """Check that a first start makes its folders durable before it serves."""
    data = folder / "data"
    recorder = Recorder(folder)

    async def start() -> None:
        with recorded(recorder):
            async with serving(data):
                recorder.tell("answer", "ready")

    asyncio.run(start())
    made = [call for call in recorder.calls if call.name in {"mkdir", "fsync", "answer"}]
    assert not broken(SERVER, made)
    assert sum(call.name == "mkdir" for call in made) >= 6
