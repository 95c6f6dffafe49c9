"""scikit-learn by skops: data and names of types, of which only known ones are built."""

import json
import zipfile
import zlib
from collections.abc import Collection, Mapping
from io import BytesIO
from typing import Any, Final

from common_lib.errors import LoadRefused
from common_lib.loaders import json_document, npy
from common_lib.loaders.budget import Budget, bound_for
from common_lib.loaders.library import library
from common_lib.rules.formats import BY_NAME

_NODE: Final = 4_096  # bytes that skops 0.16 takes for an entry of the schema, the object that it builds included
_MEMBER: Final = 1_024
_OBJECTS: Final = 40  # bytes of a number that stands in an array of objects, for one byte in an array of its own
_SEQUENCES: Final = {"NdArrayNode", "ListNode", "TupleNode", "SetNode", "MaskedArrayNode"}
# Called with a number, these make so many bytes; of what skops writes for them they make the text itself.
_MADE_OF_TEXT: Final = {"bytes_", "void"}
_TEXTS: Final = {"S", "V"}
_METHODS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_UNREADABLE: Final = (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, RuntimeError, OSError)


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Say why it is not an archive of skops.

    Raises:
        OverBudget: what its schema names would take more memory than it may.
    """
    if reason := BY_NAME["skops"].fault(content):
        return reason
    try:
        return _check(content, Budget(bound_for(len(content), memory)))
    except (*_UNREADABLE, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"its schema cannot be read: {type(error).__name__}: {error!s:.200}"


def load(content: bytes, *, trusted_types: Collection[str] = ()) -> Any:
    """Return the estimator, if it is made of types only that skops knows or that the caller names.

    Raises:
        LoadRefused: the file names another type; nothing of it was built.
    """
    names = list(trusted_types)
    if isinstance(trusted_types, str) or not all(isinstance(name, str) for name in names):
        raise LoadRefused(
            "trusted_types", why="is not a list of names", remedy='pass the full names of types, ["module.Type"]'
        )
    skops = library("skops.io", extra="skops")
    unknown = library("skops.io.exceptions", extra="skops").UntrustedTypesFoundException
    try:
        return skops.loads(content, trusted=names)
    except unknown as error:
        raise LoadRefused(
            "the skops file",
            why=f"it names types that nobody trusts: {str(error)[:400]}",
            remedy="read their code, then pass those that you trust as trusted_types=[…]",
        ) from error


def _check(content: bytes, budget: Budget) -> str | None:
    """Count what the schema names, as often as it is named; return what makes that impossible."""
    budget.spend(len(content), "its bytes")
    with zipfile.ZipFile(BytesIO(content)) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if {member.compress_type for member in members.values()} - _METHODS:
            return "it is compressed in a way that skops does not write"
        budget.spend(len(members) * _MEMBER + members["schema.json"].file_size, "its archive")
        schema = archive.read("schema.json")
        json_document.spend(schema, budget)
        _Count(archive, members, budget).entry(json.loads(schema))
    return None


class _Count:
    """The cost of each entry of a schema, with all that is below it."""

    def __init__(self, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], budget: Budget) -> None:
        self._archive = archive
        self._members = members
        self._budget = budget
        self._of_file: dict[str, int] = {}
        self._kinds: dict[str, str] = {}
        self._of_id: dict[Any, tuple[Any, int]] = {}

    def entry(self, value: Any) -> int:
        """Spend what a value of the schema takes, and return it."""
        if isinstance(value, list):
            return sum(map(self.entry, value))
        if not isinstance(value, dict):
            return 0
        kind, id_ = value.get("__loader__"), value.get("__id__")
        if kind == "NdArrayNode":
            self._check_array(value.get("__class__"), value.get("file"))
        cost = _NODE + self._file(value.get("file"))
        if kind == "CachedNode":
            # The object is there already, but what is made of it, such as a mask, is made once more.
            cost += self._of_id.get(id_, (None, 0))[1]
        self._budget.spend(cost, f"{kind!r:.40} {value.get('file') or ''!r:.60} of its schema")
        below = sum(map(self.entry, value.values()))
        if kind == "NdArrayNode" and isinstance(value.get("content"), list):
            more = sum(self._unpacked(item) for item in value["content"])
            self._budget.spend(more, "an array of objects in its schema")
            below += more
        if isinstance(id_, int | str) and kind != "CachedNode":
            self._of_id[id_] = (kind, cost + below)
        return cost + below

    def _unpacked(self, item: Any) -> int:
        """Count what an array of objects makes of a sequence in it: an object of each number."""
        kind, id_ = (item.get("__loader__"), item.get("__id__")) if isinstance(item, dict) else (None, None)
        kind, cost = self._of_id.get(id_, (kind, 0)) if isinstance(id_, int | str) else (kind, 0)
        if kind not in _SEQUENCES:
            return 0
        return _OBJECTS * (cost or self._file(item.get("file")))

    def _check_array(self, class_: Any, name: Any) -> None:
        if not isinstance(name, str) or name not in self._members:
            return
        if name not in self._kinds:
            member = self._members[name]
            with self._archive.open(member) as stream:
                self._kinds[name] = npy.kind_of(stream, member.file_size, extra="skops")
        if class_ in _MADE_OF_TEXT and self._kinds[name] not in _TEXTS:
            raise ValueError(f"{class_} would be made of a number")

    def _file(self, name: Any) -> int:
        """Count what reading a file of the archive takes, each time anew."""
        if not isinstance(name, str) or name not in self._members:
            return 0
        if name not in self._of_file:
            self._of_file[name] = _cost(self._archive, self._members[name], self._budget)
        return self._of_file[name]


def _cost(archive: zipfile.ZipFile, member: zipfile.ZipInfo, budget: Budget) -> int:
    """Count what reading a member takes: its bytes, and the array or the matrix that is made of them."""
    with archive.open(member) as stream:
        packed = stream.read(4) == b"PK\x03\x04"
    if not packed:
        return 3 * member.file_size
    # A sparse matrix is an archive within the archive, its arrays deflated once more.
    budget.spend(member.file_size, f"the file {member.filename!r:.100}")
    with zipfile.ZipFile(BytesIO(archive.read(member))) as inner:
        inside = inner.infolist()
        if {one.compress_type for one in inside} - _METHODS:
            raise zipfile.BadZipFile("a matrix is compressed in a way that scipy does not write")
        return member.file_size + sum(2 * one.file_size + _MEMBER for one in inside)
