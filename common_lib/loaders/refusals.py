"""Why a model is not loaded or not saved."""

from common_lib.errors import RegistryError


class LoadRefused(RegistryError):
    """A file is not loaded: `what` it is, `why` not, and the `remedy`."""

    def __init__(self, what: str, *, why: str, remedy: str) -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(f"{what}: {why}; {remedy}")


class NoSafeFormat(RegistryError):
    """An object cannot be saved without pickle: `what` it is, `why` not, and the `remedy`."""

    def __init__(self, what: str, *, why: str, remedy: str) -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(f"{what}: {why}; {remedy}")


class LibraryMissing(RegistryError):
    """The library that reads or writes a format is not installed; `extra` of this distribution brings it."""

    def __init__(self, library: str, *, extra: str, why: str) -> None:
        self.library = library
        self.extra = extra
        super().__init__(
            f"{library} cannot be imported ({why}); install it with pip install 'model-registry-service[{extra}]'"
        )
