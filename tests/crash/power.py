"""A power cut: the process ends, and only synced data survive.

It is the worst that a file system may do: bytes that were not synced are cut off, and names that were not synced are as
they were before. `kill -9` alone leaves both in place, because the kernel lives on.
"""

import os
import shutil
from pathlib import Path, PurePosixPath

from tests.crash.calls import Call, Recorder, kill

# A number after the last call: every request has a response.
END = Call("end", "")


def cut(recorder: Recorder, call: Call) -> None:
    """End this process like a power cut, before that call."""
    lose(recorder, recorder.calls[: None if call == END else -1])
    kill(recorder, call)


def lose(recorder: Recorder, done: list[Call]) -> None:
    """Undo all writes that were not synced before that call."""
    root = recorder.root
    for path, length in _unsynced_bytes(recorder, done):
        if path.exists() and path.stat().st_size > length:
            os.truncate(path, length)
    for call in reversed(_unsynced_names(done)):
        _undo(root, call)


def _unsynced_bytes(recorder: Recorder, done: list[Call]) -> list[tuple[Path, int]]:
    synced: dict[int | str, int] = dict(recorder.before)
    written: set[int | str] = set()
    for number, call in enumerate(done):
        key = call.node or call.place
        if call.name in {"write", "ftruncate"} or (call.name == "db-write" and call.place.endswith("-wal")):
            written.add(key)
        elif call.name in {"fsync", "db-sync"} and key in written:
            written.discard(key)
            synced[key] = recorder.lengths[number]
    by_node = {path.stat().st_ino: path for path in recorder.root.rglob("*") if path.is_file()}
    places = {key: by_node.get(key) if isinstance(key, int) else recorder.root / key for key in written}
    return [(place, synced.get(key, 0)) for key, place in places.items() if place is not None]


def _unsynced_names(done: list[Call]) -> list[Call]:
    left: list[Call] = []
    for call in done:
        if call.name == "fsync":
            left = [one for one in left if str(PurePosixPath(one.target or one.place).parent) != call.place]
        elif call.name in {"create", "link", "replace", "mkdir"}:
            left.append(call)
        elif call.name == "unlink":
            left = [one for one in left if (one.target or one.place) != call.place]
    return left


def _undo(root: Path, call: Call) -> None:
    place, target = root / call.place, root / call.target
    match call.name:
        case "create":
            place.unlink(missing_ok=True)
        case "link" if target.exists() and target.stat().st_ino == call.node:
            target.unlink()
        case "replace" if target.exists() and not place.exists():
            target.rename(place)
        case "mkdir" if not call.node:
            shutil.rmtree(place, ignore_errors=True)
