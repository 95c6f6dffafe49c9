"""The checks: each fails where a promise is broken; the tests run them as they are, and on planted faults."""

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
from registry_server.infrastructure.filesystem import FilesystemBlobs
from tests.crash import clients, worlds
from tests.crash.calls import Call, Recorder, count, fail, recorded
from tests.crash.nursery import Nursery
from tests.crash.order import CLIENT, SERVER, STEPS, broken, follows
from tests.crash.power import END
from tests.crash.scenarios import ALL, CONTENT, SCENARIOS, SHA256
from tests.crash.worlds import ACTING, Refused, Session, assert_consistent, digest, serving

# What may fail without anybody being told: something that is cleared away again, or is read and then replaced.
UNTOLD = ("unlink blobs/staging/*", "read blobs/sha256/*", "fstat blobs/sha256/*")
TOLD = {errno.ENOSPC: (507, "storage_full"), errno.EIO: (503, "storage_unavailable")}


def calls_of(data: Path, scenario: str) -> list[Call]:
    """The calls that a scenario makes when nothing comes between."""
    recorder = Recorder(data)
    prepare, act, _ = ALL[scenario]
    worlds.run(data, prepare, act, recorder=recorder)
    shutil.rmtree(data)
    return recorder.calls


def points(calls: list[Call], *, every: bool, step: int = 1) -> list[int]:
    """The numbers of the calls to come between, counted from one, and one more for the end.

    Unless it is every one, of equal calls in a row the first and the last are taken, and of those each `step`th.
    """
    lines = [None, *map(str, calls), None]
    inner = range(1, len(lines) - 1)
    chosen = [n for n in inner if every or lines[n] != lines[n - 1] or lines[n] != lines[n + 1]]
    return [*chosen[:: 1 if every else step], len(calls) + 1]


def order(data: Path, scenario: str) -> None:
    """The calls of a write path come in the order of the rules, and none of its steps is missing."""
    calls = calls_of(data, scenario)
    assert not broken(SERVER, calls)
    assert follows(STEPS[scenario], calls) is None


def kill_at(nursery: Nursery, data: Path, scenario: str, *, number: int, how: str, fault: str = "") -> None:
    """When the process has ended at that call, all that it acknowledged is there, and the next one can go on."""
    end = nursery.run(job="serve", scenario=scenario, data=str(data), number=number, how=how, fault=fault)
    assert end.signal == SIGKILL, "the child failed; its traceback stands above"
    kept = [one for one in end.kept if one != ACTING]
    acting = end.kept[end.kept.index(ACTING) :] if ACTING in end.kept else []
    asyncio.run(_restarted(data, scenario, set(kept), set(acting)))
    shutil.rmtree(data)


async def _restarted(data: Path, scenario: str, kept: set[str], acting: set[str]) -> None:
    _, act, damaged = SCENARIOS[scenario]
    async with serving(data) as session:
        await assert_consistent(session, kept, set(damaged - acting))
        seen = Recorder(data, _whole(session, wrong := [], damaged))
        with worlds.watched(seen):
            await act(session)
        assert not wrong, f"bytes under a final name were written on: {wrong[0]}"
        await assert_consistent(session, kept, set(damaged if scenario == "quarantine" else ()))


def _whole(session: Session, wrong: list[str], damaged: Iterable[str]) -> Any:
    def look(recorder: Recorder, call: Call) -> None:
        files = {file.name: file for file in (session.data / "blobs" / "sha256").glob("??/*")}
        sound = all(digest(file.read_bytes()) == name for name, file in files.items() if name not in damaged)
        wrong.extend([] if sound else [str(call)])

    return look


def fail_at(data: Path, scenario: str, number: int, code: int) -> None:
    """A disk that fails at that call is told by a typed problem, leaves nothing half done, and is forgotten after."""
    asyncio.run(_failing(data, scenario, number, code))
    shutil.rmtree(data)


async def _failing(data: Path, scenario: str, number: int, code: int) -> None:
    prepare, act, damaged = SCENARIOS[scenario]
    kept: set[str] = set()
    recorder = Recorder(data, count(number, fail(code)))
    async with serving(data, kept.add) as session:
        await prepare(session)
    # Opened anew, as where the calls were counted.
    async with serving(data, kept.add) as session:
        with worlds.watched(recorder):
            failed = await _refusal(act, session)
        call = recorder.calls[number - 1] if number <= len(recorder.calls) else END
        if failed is None:
            assert call.name in {"answer", "temporary-write", "end"} or _is_like(UNTOLD, call), (
                f"{call} failed and nobody was told"
            )
        else:
            assert failed == TOLD[code], f"{call}: {failed}"
        if not _is_like(UNTOLD[:1], call):
            await assert_consistent(session, kept, set(damaged))
        await act(session)
    async with serving(data) as session:
        await assert_consistent(session, kept, set(damaged if scenario == "quarantine" else ()))


async def _refusal(act: Any, session: Session) -> tuple[int, str] | None:
    try:
        await act(session)
    except Refused as refused:
        return refused.status, refused.code
    return None


def _is_like(patterns: Iterable[str], call: Call) -> bool:
    return any(fnmatchcase(str(call), pattern) for pattern in patterns)


def refusal(data: Path, scenario: str) -> None:
    """What is refused without any trouble of the disk is refused, and leaves nothing."""

    async def both() -> None:
        prepare, act, _ = SCENARIOS[scenario]
        async with serving(data) as session:
            await prepare(session)
            await act(session)
            await assert_consistent(session, set(), set())

    asyncio.run(both())


def race(data: Path, scenario: str) -> None:
    """Bytes that are sent again after damage was found, and before it is taken away, stay."""
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
    """A client syncs and verifies bytes before they get a name."""
    recorder = Recorder(root)
    with clients.registry() as registry, recorded(recorder):
        clients.WAYS[way](registry, root)
    # Documents carry their own digest, and are looked at whenever they are used.
    bytes_ = [call for call in recorder.calls if "manifests/" not in call.place and "references/" not in call.place]
    assert not broken(CLIENT, bytes_)
    assert follows(STEPS[way], recorder.calls) is None


def client_kill_at(nursery: Nursery, root: Path, way: str, number: int, fault: str = "") -> bool:
    """Whether the client got so far as to be killed; nothing stands under a name that is not its own."""
    end = nursery.run(job="fetch", way=way, root=str(root), number=number, fault=fault)
    assert end.signal or end.status == 0, "the child failed; its traceback stands above"
    clients.assert_whole(root)
    return bool(end.signal)


def client_fail_at(registry: Any, root: Path, way: str, number: int, code: int) -> bool:
    """Whether there was a call of that number; then nothing partial has a name, and the next try succeeds."""
    root.mkdir()
    recorder = Recorder(root, count(number, fail(code)))
    with recorded(recorder):
        try:
            clients.assert_fetched(clients.WAYS[way](registry, root))
        except (OSError, RegistryError):
            # Its own disk's error, or that what it copied could not be verified.
            pass
        else:
            call = recorder.calls[min(number, len(recorder.calls)) - 1]
            # A copy by the kernel that fails is made again by hand; what is only remembered fails nobody.
            is_optional = "manifests" in call.place or "references" in call.place
            message = f"{call} failed and no warning was logged"
            assert is_optional or call.name != "fsync" or number > len(recorder.calls), message
    clients.assert_whole(root)
    clients.assert_fetched(clients.WAYS[way](registry, root))
    return number <= len(recorder.calls)


def unreadable(data: Path) -> None:
    """Bytes that cannot be read are replaced by those that are sent again."""
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
    """The folders that a first start makes are durable before it serves."""
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
