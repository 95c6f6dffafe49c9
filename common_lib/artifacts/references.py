"""The record of what references meant when the registry last answered, for callers that work without it.

Each file is about one reference of one registry, sealed by the token of the principal that was answered. A version that
was fetched has a file under its own reference, which also holds its recall. The meaning of a moving reference is used
only together with that file: removing it, to make a recall forgotten, makes the version unusable.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common_lib.bookkeeping import best_effort
from common_lib.errors import NotCached, VersionRecalled
from common_lib.origin import file_name, key_of
from common_lib.own_files import UnsafeFile
from common_lib.sealed import read_sealed, write_sealed
from common_lib.types.base import Value
from common_lib.types.versions import ModelVersion

_MOST_BYTES: Final = 16 * 1024**2


class _Entry(Value):
    """The version that a reference meant at a time, in seconds, and why that version is recalled since another."""

    version: ModelVersion
    at: float
    recalled: str | None = None
    recalled_at: float = 0.0


@dataclass(frozen=True, slots=True)
class References:
    """The folder `references` of a cache, as one principal of one registry may read it."""

    root: Path
    origin: str

    def remember(self, reference: str, version: ModelVersion, at: float) -> None:
        """Record what a reference meant at a time of the wall clock. No error of a disk is raised."""
        for each in self._readers():
            each._remember(reference, version, at)  # noqa: SLF001 - itself

    def _remember(self, reference: str, version: ModelVersion, at: float) -> None:
        with best_effort(self.root):
            known = self._replaceable(version.reference)
            own = _Entry(version=version, at=at)
            if known is not None and known.recalled is not None and at < known.recalled_at:
                # Another process was answered with the recall after this answer was given.
                own = known
            self._write(version.reference, own)
            if reference != version.reference:
                self._write(reference, _Entry(version=version, at=at))

    def record_recall(self, reference: str, why: str, at: float) -> None:
        """Record the recall of a version, given by its own reference; of one never fetched nothing is recorded."""
        for each in self._readers():
            with best_effort(self.root):
                known = each._replaceable(reference)  # noqa: SLF001 - itself
                if known is not None:
                    each._write(reference, known.model_copy(update={"recalled": why, "recalled_at": at}))  # noqa: SLF001

    def get_version(self, reference: str) -> ModelVersion:
        """Return the version that a reference meant when the registry last answered.

        Raises:
            NotCached: it was never fetched with this token, or what was written has changed since.
            VersionRecalled: the version was recalled when the registry last answered.
        """
        found = self._known(reference)
        own = None if found is None else self._known(found.version.reference)
        if found is None or own is None:
            raise NotCached(reference, str(self.root))
        self._raise_if_recalled(own)
        return found.version

    def check_not_recalled(self, version: ModelVersion, at: float) -> None:
        """Refuse a version whose recall was recorded after the answer of that time.

        Raises:
            VersionRecalled: it was recalled.
        """
        with contextlib.suppress(OSError):
            own = self._known(version.reference)
            if own is not None and own.recalled_at > at:
                self._raise_if_recalled(own)

    def _readers(self) -> "tuple[References, ...]":
        """Return this folder as the same principal reads it, and as an offline process without a token reads it.

        A process without a token uses files that no token has sealed; a process with a token never does.
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

    def _known(self, reference: str) -> _Entry | None:
        path = self._path(reference)
        try:
            text = read_sealed(path, key_of(self.origin), _about(reference), most_bytes=_MOST_BYTES)
            return _Entry.model_validate_json(text)
        except (FileNotFoundError, ValueError):
            # What is damaged is as if it were not there; a folder that cannot be read is an error.
            return None

    def _replaceable(self, reference: str) -> _Entry | None:
        """Return what is known; None for a file that others can write, which is about to be replaced."""
        try:
            return self._known(reference)
        except UnsafeFile:
            return None

    def _write(self, reference: str, entry: _Entry) -> None:
        known = self._replaceable(reference)
        if known is not None and known.model_copy(update={"at": entry.at}) == entry:
            # Nothing new: a fetch of what is known writes nothing.
            return
        text = entry.model_dump_json().encode()
        write_sealed(self._path(reference), key_of(self.origin), _about(reference), text)

    def _path(self, reference: str) -> Path:
        return self.root / "references" / file_name(key_of(self.origin), reference)


def _about(reference: str) -> str:
    return f"reference\n{reference}\n"
