"""The order in which a write path must call the disk, as data: general rules, and the steps of each path.

Source of the rules: Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014 — a file system may keep any of
what was not synced, in any order, so each step that relies on another one waits for its sync.
"""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import NamedTuple

from tests.crash.calls import Call

Key = Callable[[Call], int | str]


class Rule(NamedTuple):
    """A rule: after a call `owed`, a call `paid` must come before a call `due`; `of` selects the subject, if needed."""

    says: str
    owed: frozenset[str]
    paid: str
    due: frozenset[str]
    key: Key
    payment: Key
    of: Key | None = None


def _node(call: Call) -> int | str:
    return call.node


def _place(call: Call) -> int | str:
    return call.place


def _folder(call: Call) -> int | str:
    return str(PurePosixPath(call.target or call.place).parent)


_WRITES, _NAMES = frozenset({"write", "ftruncate"}), frozenset({"link", "replace", "mkdir", "create"})
_ROW, _ANSWER = frozenset({"db-write"}), frozenset({"answer"})

SERVER = (
    Rule(
        "bytes are synced before they get a name", _WRITES, "fsync", frozenset({"link", "replace"}), _node, _node, _node
    ),
    Rule("bytes are synced before a row is written", _WRITES, "fsync", _ROW, _node, _node),
    Rule("names are synced before a row is written", _NAMES, "fsync", _ROW, _folder, _place),
    Rule("rows are synced before the answer", _ROW, "db-sync", _ANSWER, _place, _place),
    Rule("bytes are synced before the answer", _WRITES, "fsync", _ANSWER, _node, _node),
    Rule("names are synced before the answer", _NAMES, "fsync", _ANSWER, _folder, _place),
)
# A cache may lose files and fetch them again, but a file with a name must be whole.
CLIENT = SERVER[:1]


def broken(rules: Iterable[Rule], calls: list[Call]) -> list[str]:
    """Return the broken rules as sentences."""
    return [words for rule in rules for words in _broken(rule, calls)]


def _broken(rule: Rule, calls: list[Call]) -> Iterable[str]:
    # Open syncs by file or name, so that the removal of the file also removes them.
    debts: dict[str, tuple[int | str, Call]] = {}
    for call in calls:
        if call.name in rule.due:
            wanted = None if rule.of is None else rule.of(call)
            for _, (key, owing) in sorted(debts.items()):
                if wanted is None or key == wanted:
                    yield f"{rule.says}: not so for “{owing}” at “{call}”"
        if call.name == rule.paid:
            debts = {name: debt for name, debt in debts.items() if debt[0] != rule.payment(call)}
        if call.name == "unlink":
            debts.pop(call.place, None)
        if call.name == "replace":
            debts.pop(call.place, None)
        if call.name in rule.owed:
            debts[call.target or call.place] = (rule.key(call), call)


def follows(steps: Iterable[str], calls: list[Call]) -> str | None:
    """Return the first step that does not follow the earlier steps in the calls; `*` matches any text."""
    lines = iter([str(call) for call in calls])
    for step in steps:
        if not any(fnmatchcase(line, step) for line in lines):
            return step
    return None


_FILE = "blobs/staging/*"
_BLOB = "blobs/sha256/??/*"
_FOLDER = "fsync blobs/sha256/??"
_COMMIT = ("db-write registry.sqlite3-wal", "db-sync registry.sqlite3-wal")
_PART = "blobs/uploads/admin.*"

STEPS: dict[str, tuple[str, ...]] = {
    "put": (
        f"create {_FILE}",
        f"write {_FILE}",
        f"fsync {_FILE}",
        "mkdir blobs/sha256/??",
        "fsync blobs/sha256",
        f"link {_FILE} → {_BLOB}",
        _FOLDER,
        f"unlink {_FILE}",
        *_COMMIT,
        "answer 201",
    ),
    "wrong": (f"create {_FILE}", f"write {_FILE}", f"unlink {_FILE}"),
    "parts": (
        *(*_COMMIT, "answer 200"),
        *(f"create {_PART}", f"write {_PART}", f"fsync {_PART}", "fsync blobs/uploads", *_COMMIT, "answer 200"),
        *(f"write {_PART}", f"fsync {_PART}", *_COMMIT, "answer 200"),
        *(f"write {_PART}", f"fsync {_PART}", f"link {_PART} → {_BLOB}", _FOLDER, f"unlink {_PART}"),
        *(*_COMMIT, "answer 200"),
    ),
    "again": (
        f"fsync {_FILE}",
        f"link {_FILE} → {_BLOB}",
        f"read {_BLOB}",
        f"fsync {_BLOB}",
        _FOLDER,
        *_COMMIT,
        "answer 200",
    ),
    "heal": (
        f"fsync {_FILE}",
        f"link {_FILE} → {_BLOB}",
        f"read {_BLOB}",
        f"replace {_FILE} → {_BLOB}",
        _FOLDER,
        *_COMMIT,
        "answer 200",
    ),
    "quarantine": (
        f"read {_BLOB}",
        f"replace {_BLOB} → blobs/quarantine/*",
        "fsync blobs/quarantine",
        _FOLDER,
        *_COMMIT,
        "answer 200",
    ),
    "collect": (
        f"replace {_BLOB} → blobs/trash/*",
        "fsync blobs/trash",
        _FOLDER,
        *_COMMIT,
        "answer 200",
    ),
    "purge": ("listdir blobs/trash", "unlink blobs/trash/*", "fsync blobs/trash", "answer 200"),
    "undo": (
        f"link blobs/trash/* → {_BLOB}",
        _FOLDER,
        "unlink blobs/trash/*",
        "fsync blobs/trash",
        "answer 200",
    ),
    "stray": (f"replace {_BLOB} → blobs/trash/*", "fsync blobs/trash", _FOLDER, "answer 200"),
    "restore": (f"read {_BLOB}", f"fsync {_BLOB}", _FOLDER, *_COMMIT, "answer 200"),
    "abandon": (f"unlink {_PART}", *_COMMIT, "answer 204"),
    "together": (
        *(f"create {_FILE}", f"write {_FILE}", f"fsync {_FILE}", f"link {_FILE} → {_BLOB}", _FOLDER),
        *(f"create {_FILE}", f"write {_FILE}", f"fsync {_FILE}", f"link {_FILE} → {_BLOB}", _FOLDER),
        *(*_COMMIT, "answer 200"),
    ),
    "version": (*_COMMIT, "answer 201", *_COMMIT, "answer 201"),
    "fetch": (
        "create partial/*",
        "write partial/*",
        "fsync partial/*",
        "mkdir blobs/sha256/??",
        "replace partial/* → blobs/sha256/??/*",
        "replace snapshots/* → snapshots/*",
        "replace manifests/* → manifests/*",
    ),
    "place": (
        "fsync cache/partial/*",
        "create folder/.*.partial",
        "write folder/.*.partial",
        "read folder/.*.partial",
        "fsync folder/.*.partial",
        "link folder/.*.partial → folder/model.bin",
        "unlink folder/.*.partial",
    ),
}
