"""The record of the version that each reference meant at its last fetch, for use without the registry.

A file holds one reference of one registry, and is sealed with the token of the principal that fetched it. A fetched
version also has a file under its own reference, which holds its recall. A moving reference such as `latest` is resolved
offline only if that file exists too: deleting it, to hide a recall, makes the version unusable.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common_lib.best_effort import best_effort
from common_lib.errors import NotCached, VersionRecalled
from common_lib.origin import file_name, key_of
from common_lib.own_files import UnsafeFile
from common_lib.sealed import read_sealed, write_sealed
from common_lib.types.base import Value
from common_lib.types.versions import ModelVersion

_MOST_BYTES: Final = 16 * 1024**2


class _Entry(Value):
    """The version that a reference meant at the time `at`, and the reason and the time of that version's recall."""

    version: ModelVersion
    at: float
    recalled: str | None = None
    recalled_at: float = 0.0


@dataclass(frozen=True, slots=True)
class References:
    """The files in the folder `references` of a cache that one principal of one registry can read."""

    root: Path
    origin: str

    def record(self, reference: str, version: ModelVersion, at: float) -> None:
        """Record the version that a reference meant at a time of the wall clock. Disk errors are not raised."""
        for each in self._readers():
            each._record(reference, version, at)  # noqa: SLF001 - itself

    def _record(self, reference: str, version: ModelVersion, at: float) -> None:
        with best_effort(self.root):
            known = self._find_ignoring_unsafe(version.reference)
            own = _Entry(version=version, at=at)
            if known is not None and known.recalled is not None and at < known.recalled_at:
                # Another process received the recall after this answer was given.
                own = known
            self._write(version.reference, own)
            if reference != version.reference:
                self._write(reference, _Entry(version=version, at=at))

    def record_recall(self, reference: str, why: str, at: float) -> None:
        """Record the recall of a version, if it was ever fetched; `reference` names the version by its number."""
        for each in self._readers():
            with best_effort(self.root):
                known = each._find_ignoring_unsafe(reference)  # noqa: SLF001 - itself
                if known is not None:
                    each._write(reference, known.model_copy(update={"recalled": why, "recalled_at": at}))  # noqa: SLF001

    def get_version(self, reference: str) -> ModelVersion:
        """Return the version that a reference meant at its last fetch.

        Raises:
            NotCached: it was never fetched with this token, or the file was changed by another program.
            VersionRecalled: the version was recalled at the registry's last answer.
        """
        found = self._find(reference)
        own = None if found is None else self._find(found.version.reference)
        if found is None or own is None:
            raise NotCached(reference, str(self.root))
        self._raise_if_recalled(own)
        return found.version

    def check_not_recalled(self, version: ModelVersion, at: float) -> None:
        """Raise if a recall of the version was recorded after the time `at`, at which an answer was given.

        Raises:
            VersionRecalled: the version was recalled.
        """
        with contextlib.suppress(OSError):
            own = self._find(version.reference)
            if own is not None and own.recalled_at > at:
                self._raise_if_recalled(own)

    def _readers(self) -> "tuple[References, ...]":
        """Return this record for the same principal, and for an offline process that has no token.

        A process without a token uses only files that were sealed without a token; a process with a token never does.
        """
        return (self, References(self.root, str(self.origin)))

    def _raise_if_recalled(self, own: _Entry) -> None:
        if own.recalled is None:
            return
        raise VersionRecalled(
            own.recalled,
            code="version_recalled",
            remedy="use another version, or ask the registry whether it was reinstated",
            field="version",
            value=own.version.version,
            status=410,
        )

    def _find(self, reference: str) -> _Entry | None:
        path = self._path(reference)
        try:
            text = read_sealed(path, key_of(self.origin), _about(reference), most_bytes=_MOST_BYTES)
            return _Entry.model_validate_json(text)
        except (FileNotFoundError, ValueError):
            # A damaged file counts as missing. A folder that cannot be read is an error.
            return None

    def _find_ignoring_unsafe(self, reference: str) -> _Entry | None:
        """Return the entry of a reference, or None if others can write its file, which is about to be replaced."""
        try:
            return self._find(reference)
        except UnsafeFile:
            return None

    def _write(self, reference: str, entry: _Entry) -> None:
        known = self._find_ignoring_unsafe(reference)
        if known is not None and known.model_copy(update={"at": entry.at}) == entry:
            # Unchanged, so a repeated fetch writes nothing to the disk.
            return
        text = entry.model_dump_json().encode()
        write_sealed(self._path(reference), key_of(self.origin), _about(reference), text)

    def _path(self, reference: str) -> Path:
        return self.root / "references" / file_name(key_of(self.origin), reference)


def _about(reference: str) -> str:
    return f"reference\n{reference}\n"
