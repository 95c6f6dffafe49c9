"""A local record of the version that each reference pointed to at its last fetch, for use without the registry.

Each file contains one reference of one registry, and is sealed (signed) with the token of the principal that fetched
it. Each fetched version also has a file for its reference with the version number; that file records a recall. A moving
reference such as `latest` is resolved offline only if the file of its version exists. So a recall cannot be hidden by
deleting that file.
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
    """The version that a reference pointed to at the time `at`, and the reason and time of its recall, if recalled."""

    version: ModelVersion
    at: float
    recalled: str | None = None
    recalled_at: float = 0.0


@dataclass(frozen=True, slots=True)
class References:
    """The recorded references of one registry in a cache, as far as the principal of one token can read them."""

    root: Path
    origin: str

    def record(self, reference: str, version: ModelVersion, at: float) -> None:
        """Record that a reference pointed to a version at the time `at` (seconds since 1970). Ignore disk errors."""
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
        """Record the recall of a version that was fetched before; `reference` contains the version number."""
        for each in self._readers():
            with best_effort(self.root):
                known = each._find_ignoring_unsafe(reference)  # noqa: SLF001 - itself
                if known is not None:
                    each._write(reference, known.model_copy(update={"recalled": why, "recalled_at": at}))  # noqa: SLF001

    def get_version(self, reference: str) -> ModelVersion:
        """Return the version that a reference pointed to at its last fetch.

        Raises:
            NotCached: the reference was never fetched with this token, or its file was changed by another program.
            VersionRecalled: the version was recalled according to the last answer of the registry.
        """
        found = self._find(reference)
        own = None if found is None else self._find(found.version.reference)
        if found is None or own is None:
            raise NotCached(reference, str(self.root))
        self._raise_if_recalled(own)
        return found.version

    def check_not_recalled(self, version: ModelVersion, at: float) -> None:
        """Raise if a recall of the version was recorded after `at`, the time of the answer that is about to be used.

        Raises:
            VersionRecalled: a later recall is recorded.
        """
        with contextlib.suppress(OSError):
            own = self._find(version.reference)
            if own is not None and own.recalled_at > at:
                self._raise_if_recalled(own)

    def _readers(self) -> "tuple[References, ...]":
        """Return the records to write: this one, and the one that an offline process without a token reads.

        Files that were sealed without a token are read only by processes without a token.
        """
        return (self, References(self.root, str(self.origin)))

    def _raise_if_recalled(self, own: _Entry) -> None:
        if own.recalled is None:
            return
        raise VersionRecalled(
            own.recalled,
            code="version_recalled",
            remedy="use another version, or connect to the registry to find out if this version was reinstated",
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
        """Return the entry of a reference, or None if other users can write its file; the caller replaces that file."""
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
