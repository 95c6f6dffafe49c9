"""Loader for scikit-learn estimators in the format of skops. Only objects of known or trusted types are created."""

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

_NODE: Final = 4_096  # bytes that skops 0.16 takes for an entry of the schema and its object
_MEMBER: Final = 1_024
_OBJECTS: Final = 40  # bytes of a number in an array of objects, for each byte that it takes in a numeric array
_SEQUENCES: Final = {"NdArrayNode", "ListNode", "TupleNode", "SetNode", "MaskedArrayNode"}
# Called with a number, these types allocate that many bytes; skops calls them with text.
_MADE_OF_TEXT: Final = {"bytes_", "void"}
_TEXTS: Final = {"S", "V"}
_METHODS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_UNREADABLE: Final = (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, RuntimeError, OSError)


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Return why the bytes are not a valid skops file, or None if they are valid.

    Raises:
        OverBudget: the objects that the file describes exceed the memory bound.
    """
    if reason := BY_NAME["skops"].fault(content):
        return reason
    try:
        return _check(content, Budget(bound_for(len(content), memory)))
    except (*_UNREADABLE, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"the skops file cannot be read: {type(error).__name__}: {error!s:.200}"


def load(content: bytes, *, trusted_types: Collection[str] = ()) -> Any:
    """Return the estimator if skops knows all its types, or the caller trusts them.

    Raises:
        LoadRefused: the file contains an unknown type that is not trusted; no object was created.
    """
    names = list(trusted_types)
    if isinstance(trusted_types, str) or not all(isinstance(name, str) for name in names):
        raise LoadRefused(
            "trusted_types",
            why="the value is not a list of names",
            remedy='pass the full names of types, such as ["module.Type"]',
        )
    skops = library("skops.io", extra="skops")
    unknown = library("skops.io.exceptions", extra="skops").UntrustedTypesFoundException
    try:
        return skops.loads(content, trusted=names)
    except unknown as error:
        raise LoadRefused(
            "the skops file",
            why=f"the file contains types that are not trusted: {str(error)[:400]}",
            remedy="read the code of these types, and pass the types that you trust as trusted_types=[…]",
        ) from error


def _check(content: bytes, budget: Budget) -> str | None:
    """Spend the memory of all objects in the file; return what is wrong with the file, or None."""
    budget.spend(len(content), "its bytes")
    with zipfile.ZipFile(BytesIO(content)) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if {member.compress_type for member in members.values()} - _METHODS:
            return "the file is compressed with a method that skops does not use"
        budget.spend(len(members) * _MEMBER + members["schema.json"].file_size, "its archive")
        schema = archive.read("schema.json")
        json_document.spend(schema, budget)
        _Count(archive, members, budget).entry(json.loads(schema))
    return None


class _Count:
    """A counter of the memory that skops needs for the objects in the schema of a file."""

    def __init__(self, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], budget: Budget) -> None:
        self._archive = archive
        self._members = members
        self._budget = budget
        self._of_file: dict[str, int] = {}
        self._kinds: dict[str, str] = {}
        self._of_id: dict[Any, tuple[Any, int]] = {}

    def entry(self, value: Any) -> int:
        """Spend the memory of an entry of the schema and its nested entries; return that memory in bytes."""
        if isinstance(value, list):
            return sum(map(self.entry, value))
        if not isinstance(value, dict):
            return 0
        kind, id_ = value.get("__loader__"), value.get("__id__")
        if kind == "NdArrayNode":
            self._check_array(value.get("__class__"), value.get("file"))
        cost = _NODE + self._file(value.get("file"))
        if kind == "CachedNode":
            # The object exists already, but objects derived from it, such as a mask, are built again.
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
        """Return the extra memory in bytes for a sequence in an array of objects: each number becomes an object."""
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
            raise ValueError(f"a {class_} would be created from a number")

    def _file(self, name: Any) -> int:
        """Return the memory in bytes for one reading of a file of the archive; skops reads it for each reference."""
        if not isinstance(name, str) or name not in self._members:
            return 0
        if name not in self._of_file:
            self._of_file[name] = _cost(self._archive, self._members[name], self._budget)
        return self._of_file[name]


def _cost(archive: zipfile.ZipFile, member: zipfile.ZipInfo, budget: Budget) -> int:
    """Return the memory in bytes for reading a member of the archive and creating its array or matrix."""
    with archive.open(member) as stream:
        packed = stream.read(4) == b"PK\x03\x04"
    if not packed:
        return 3 * member.file_size
    # A sparse matrix is an archive within the archive, with arrays that are compressed again.
    budget.spend(member.file_size, f"the file {member.filename!r:.100}")
    with zipfile.ZipFile(BytesIO(archive.read(member))) as inner:
        inside = inner.infolist()
        if {one.compress_type for one in inside} - _METHODS:
            raise zipfile.BadZipFile("a matrix is compressed with a method that scipy does not use")
        return member.file_size + sum(2 * one.file_size + _MEMBER for one in inside)
