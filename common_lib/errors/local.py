"""Errors of files on this machine: the cache, the caller's files, and the formats of models."""

from common_lib.errors.base import RegistryError


class DigestMismatch(RegistryError):
    """The bytes do not have the expected digest; they were not stored."""

    def __init__(self, what: str, *, expected: str, actual: str) -> None:
        self.what = what
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"{what} should have the SHA-256 {expected} but has {actual}; it was not stored; fetch it again"
        )


class NotCached(RegistryError):
    """The local cache does not contain the requested object, and the call may not use the registry."""

    def __init__(self, what: str, cache: str) -> None:
        self.what = what
        self.cache = cache
        super().__init__(
            f"{what} is not in the cache {cache} for this token; fetch it once while the registry is available"
        )


class LocalDiskFailed(RegistryError):
    """A file or folder of the cache or of the caller cannot be read or written."""

    def __init__(self, path: str, *, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path!r}: {why}; correct this or free space, then try again; complete files are not lost")


class FormatRefused(RegistryError):
    """The format of a file or object is refused: `what` is the file or object, `why` is the reason."""

    def __init__(self, what: str, *, why: str, remedy: str) -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(f"{what}: {why}; {remedy}")


class LoadRefused(FormatRefused):
    """A model file is not loaded, for the reason in `why`."""


class NoSafeFormat(FormatRefused):
    """An object cannot be saved in a format other than pickle."""


class LibraryMissing(RegistryError):
    """The library that reads or writes a format is not installed; install this package with the extra `extra`."""

    def __init__(self, library: str, *, extra: str, why: str) -> None:
        self.library = library
        self.extra = extra
        super().__init__(
            f"{library} cannot be imported ({why}); install it with pip install 'model-registry-service[{extra}]'"
        )
