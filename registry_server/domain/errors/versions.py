"""Errors of versions, their manifests and their stages."""

from collections.abc import Sequence

from common_lib.rules.codes import Code
from common_lib.rules.references import format_moment
from registry_server.domain.artifacts import FileEntry
from registry_server.domain.base import Tombstone
from registry_server.domain.errors.base import RegistryError
from registry_server.domain.versions import ModelVersion, Recall


class VersionNotFound(RegistryError, code=Code.VERSION_NOT_FOUND, field="version"):
    """The model does not have a version with this number."""

    remedy = "list the versions of the model to see their numbers"

    def __init__(self, name: str, version: int) -> None:
        super().__init__(version, f"model {name!r} has no version {version}")


class VersionNotUsable(RegistryError, code=Code.VERSION_NOT_FOUND, field="version"):
    """An alias cannot point at a version that does not exist or is tombstoned."""

    remedy = "list the versions of the model to see their numbers and tombstones"

    def __init__(self, name: str, version: int) -> None:
        super().__init__(version, f"model {name!r} has no usable version {version}")


class NothingSelected(RegistryError, code=Code.VERSION_NOT_FOUND, field="selector"):
    """The reference selects no version, or only a tombstoned version."""

    remedy = "list the versions of the model to see their stages, aliases and tombstones"

    def __init__(self, name: str, selector: str) -> None:
        found = "version in production" if selector == "production" else f"usable version {selector!r}"
        super().__init__(selector, f"model {name!r} has no {found}")


class VersionTombstoned(RegistryError, code=Code.TOMBSTONED, field="version"):
    """The version was tombstoned and cannot change."""

    remedy = "use another version, or register the files again as a new version"

    def __init__(self, found: ModelVersion, tombstone: Tombstone) -> None:
        detail = f"version {found.version} of {found.model!r} was tombstoned: {tombstone.reason}"
        super().__init__(found.version, detail)


class VersionRecalled(RegistryError, code=Code.VERSION_RECALLED, field="version"):
    """The version was recalled: it is blocked for everyone."""

    remedy = "use another version; a principal with the right to recall can reinstate this version"

    def __init__(self, found: ModelVersion, recall: Recall) -> None:
        when = f"was recalled by {recall.by} at {format_moment(recall.at)}: {recall.reason}"
        super().__init__(found.version, f"version {found.version} of {found.model!r} {when}")


class VersionNotRecalled(RegistryError, code=Code.ILLEGAL_TRANSITION, field="version"):
    """The version cannot be reinstated, because it is not recalled."""

    remedy = "read the version again; if it is not blocked, do nothing"

    def __init__(self, found: ModelVersion) -> None:
        super().__init__(found.version, f"version {found.version} of {found.model!r} is not recalled")


class VersionInProduction(RegistryError, code=Code.VERSION_IN_PRODUCTION, field="version"):
    """The version cannot be tombstoned, because it is in production."""

    remedy = "promote another version or archive this version, then repeat the request"

    def __init__(self, found: ModelVersion) -> None:
        super().__init__(
            found.version, f"version {found.version} of {found.model!r} is in production, so it cannot be tombstoned"
        )


class VersionAliased(RegistryError, code=Code.VERSION_ALIASED, field="version"):
    """The version cannot be tombstoned, because aliases point at it."""

    remedy = "move or delete these aliases, then repeat the request"

    def __init__(self, found: ModelVersion, aliases: Sequence[str]) -> None:
        detail = f"aliases point at version {found.version} of {found.model!r}: {', '.join(aliases)}"
        super().__init__(found.version, detail)


class FrameworkMissing(RegistryError, code=Code.INVALID_REQUEST, field="framework"):
    """The framework of the version is empty."""

    detail = "the framework is empty"
    remedy = "send the name of the framework, such as 'scikit-learn'"


class BytesMissing(RegistryError, code=Code.BLOB_MISSING, field="sha256"):
    """The version cannot be created, because the bytes of a file were not uploaded."""

    def __init__(self, file: FileEntry) -> None:
        remedy = f"send the bytes first: PUT /v1/blobs/{file.sha256}"
        super().__init__(file.sha256, f"the bytes of {file.path!r} are not in the registry", remedy)


class FileSizeWrong(RegistryError, code=Code.INVALID_MANIFEST, field="size"):
    """The size of a file in the manifest differs from the size of the stored bytes."""

    remedy = "send the size of the stored bytes"

    def __init__(self, file: FileEntry, stored_bytes: int) -> None:
        super().__init__(file.size, f"{file.path!r} has {stored_bytes} bytes, not {file.size}")


class ManifestDamaged(RegistryError, code=Code.BLOB_DAMAGED, field="digest"):
    """The stored manifest of the version is damaged: its bytes do not have the expected digest."""

    remedy = "ask an operator to restore the database from a backup"

    def __init__(self, found: ModelVersion) -> None:
        super().__init__(found.digest, f"the manifest of version {found.version} of {found.model!r} is damaged")


class FileNotFound(RegistryError, code=Code.FILE_NOT_FOUND, field="path"):
    """The version has no such file, or the version or its model is tombstoned, so that its files are not served."""

    remedy = "read the manifest of the version to see its files; files of tombstoned versions are not served"

    def __init__(self, name: str, version: int, path: str) -> None:
        super().__init__(path, f"version {version} of {name!r} serves no file {path!r}")
