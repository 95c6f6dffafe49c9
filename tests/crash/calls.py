"""A layer between the program and the disk: it records each call below a folder, and can fail or end the process.

What stands between is the module `os` itself, so that `pathlib` and `shutil` pass through it too, the raw files that
Python opens, and a file system of SQLite's own. The answers of the server are written down in the same list.
"""

import errno
import io
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import apsw


class Call(NamedTuple):
    """One call: its name, its path relative to the folder, the identity of the file, and the target of a name."""

    name: str
    place: str
    node: int = 0
    target: str = ""

    def __str__(self) -> str:
        """Return the call as a line of text."""
        return f"{self.name} {self.place}" + (f" → {self.target}" if self.target else "")


# The action before the call of that number: none, SIGKILL, or an error instead of the call.
Interference = Callable[["Recorder", Call], None]


class Recorder:
    """The list of calls below a folder, and the injected fault."""

    def __init__(self, root: Path, interfere: Interference = lambda *_: None) -> None:
        self.root = root
        self.calls: list[Call] = []
        # How long a file was when it was synced, by the number of that call; and before the first call, by its name.
        self.lengths: dict[int, int] = {}
        self.before: dict[int | str, int] = {}
        self._interfere = interfere
        self._prefix = f"{root}{os.sep}"
        self._lock = threading.Lock()
        self._looking = threading.local()

    def tell(self, name: str, place: str, node: int = 0, target: str = "") -> None:
        """Record a call before it is made."""
        if getattr(self._looking, "now", False):
            return
        call = Call(name, place, node, target)
        with self._lock:
            if name in {"fsync", "db-sync"}:
                self.lengths[len(self.calls)] = _length(self.root / place)
            self.calls.append(call)
        # The injected action may itself read the files.
        self._looking.now = True
        try:
            self._interfere(self, call)
        finally:
            self._looking.now = False

    def within(self, path: Any) -> str | None:
        """Return the path relative to the folder, or None if it is outside."""
        if isinstance(path, int):
            try:
                path = os.readlink(f"/proc/self/fd/{path}")  # noqa: PTH115 - pathlib comes through here
            except OSError:
                return None
        text = os.path.abspath(os.fspath(path))  # noqa: PTH100 - links are not followed
        if text == str(self.root):
            return "."
        return text.removeprefix(self._prefix) if text.startswith(self._prefix) else None


def count(number: int, action: Callable[[Recorder, Call], None]) -> Interference:
    """Run the action at the call of that number only."""
    seen = [0]

    def interfere(recorder: Recorder, call: Call) -> None:
        seen[0] += 1
        if seen[0] == number:
            action(recorder, call)

    return interfere


def kill(recorder: Recorder, call: Call) -> None:
    """End this process at once by SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(code: int) -> Callable[[Recorder, Call], None]:
    """Raise the error of a failing disk."""

    def action(recorder: Recorder, call: Call) -> None:
        if call.name.startswith(("db-", "temporary-")):
            raise apsw.FullError if code == errno.ENOSPC else apsw.IOError
        if call.name != "answer":
            raise OSError(code, os.strerror(code), str(recorder.root / call.place))

    return action


_ONE_PATH = ("unlink", "mkdir", "utime", "stat", "listdir", "rmdir", "chmod")
_TWO_PATHS = ("link", "replace", "rename", "symlink")
_DESCRIPTOR = ("write", "read", "fsync", "ftruncate", "fchmod", "fstat", "sendfile")


@contextmanager
def recorded(recorder: Recorder) -> Iterator[Recorder]:
    """Record all calls inside the block."""
    for file in recorder.root.rglob("*"):
        try:
            found = file.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # another process shares the folder and has just renamed the file
        recorder.before[found.st_ino] = recorder.before[str(file.relative_to(recorder.root))] = found.st_size
    with ExitStack() as stack:
        for name, call in _watched(recorder).items():
            stack.enter_context(mock.patch.object(os, name, call))
        opening = _opening(recorder)
        stack.enter_context(mock.patch.object(io, "open", opening))
        stack.enter_context(mock.patch.object(shutil, "open", opening, create=True))
        yield recorder


def _watched(recorder: Recorder) -> dict[str, Callable[..., Any]]:
    found = {name: _with_path(recorder, name) for name in _ONE_PATH}
    found |= {name: _with_paths(recorder, name) for name in _TWO_PATHS}
    found |= {name: _with_descriptor(recorder, name) for name in _DESCRIPTOR}
    return found | {"open": _os_open(recorder)}


def _with_path(recorder: Recorder, name: str) -> Callable[..., Any]:
    real = getattr(os, name)

    def call(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
        if isinstance(path, int) or (place := recorder.within(path)) is None:
            return real(path, *args, **kwargs)
        recorder.tell(name, place, _node(path))
        return real(path, *args, **kwargs)

    return call


def _with_paths(recorder: Recorder, name: str) -> Callable[..., Any]:
    real = getattr(os, name)

    def call(source: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
        if (to := recorder.within(target)) is not None:
            place = str(source) if name == "symlink" else recorder.within(source) or str(source)
            recorder.tell("replace" if name == "rename" else name, place, _node(source), to)
        return real(source, target, *args, **kwargs)

    return call


def _with_descriptor(recorder: Recorder, name: str) -> Callable[..., Any]:
    real = getattr(os, name)

    def call(descriptor: int, *args: Any, **kwargs: Any) -> Any:
        if (place := recorder.within(descriptor)) is not None:
            recorder.tell("write" if name == "sendfile" else name, place, _node(descriptor))
        return real(descriptor, *args, **kwargs)

    return call


def _os_open(recorder: Recorder) -> Callable[..., Any]:
    real = os.open

    def call(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if (place := recorder.within(path)) is not None:
            making = flags & os.O_CREAT and not os.path.lexists(path)
            recorder.tell("create" if making else "open", place, _node(path))
        return real(path, flags, *args, **kwargs)

    return call


_fstat, _stat = os.fstat, os.stat


def _length(path: Path) -> int:
    try:
        return _stat(path).st_size
    except OSError:
        return 0


def _node(path: Any) -> int:
    try:
        return (_fstat(path) if isinstance(path, int) else _stat(path, follow_symlinks=False)).st_ino
    except OSError:
        return 0


def _opening(recorder: Recorder) -> Callable[..., Any]:
    real = open

    def call(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
        if (place := recorder.within(file)) is None:
            return real(file, mode, buffering, *args, **kwargs)
        if not isinstance(file, int):
            recorder.tell("open" if mode.startswith("r") else "create", place, _node(file))
        raw = _Raw(recorder, place, file, mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        buffered: Any = io.BufferedReader(raw) if mode.startswith("r") else io.BufferedWriter(raw)
        encoding = kwargs.get("encoding") or (args[0] if args else None) or "utf-8"
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding)

    return call


class _Raw(io.FileIO):
    """A file whose reads and writes are recorded."""

    def __init__(self, recorder: Recorder, place: str, file: Any, mode: str) -> None:
        super().__init__(file, mode)
        self._tell = lambda name: recorder.tell(name, place, _fstat(self.fileno()).st_ino)

    def write(self, data: Any, /) -> int:
        self._tell("write")
        return super().write(data)

    def readinto(self, buffer: Any, /) -> int:
        self._tell("read")
        return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> bytes:
        self._tell("read")
        return super().read(-1 if size is None else size)

    def truncate(self, size: int | None = None, /) -> int:
        self._tell("ftruncate")
        return super().truncate(size)


class Disk(apsw.VFS):
    """The file system below SQLite: records its writes and syncs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.recorder: Recorder | None = None
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: Any) -> Any:  # noqa: N802 - SQLite's name
        """Open a recorded file."""
        return _Watched(self, name, flags)

    def tell(self, name: str, place: str) -> None:
        """Record a call."""
        if self.recorder is not None:
            self.recorder.tell(name, place)


class _Watched(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: Any) -> None:
        self._disk = disk
        self._place = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "").name
        super().__init__("", name, flags)

    def _tell(self, name: str) -> None:
        # A file without a name cannot be found again, so it need not be durable.
        self._disk.tell(f"db-{name}" if self._place else f"temporary-{name}", self._place)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._tell("sync")
        super().xSync(flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._tell("write")
        super().xWrite(data, offset)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
        self._tell("read")
        return super().xRead(amount, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's name
        self._tell("truncate")
        super().xTruncate(size)
