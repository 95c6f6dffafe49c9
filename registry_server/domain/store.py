"""The store: a database and the folder of bytes that belongs to it."""

from msgspec import Struct


class StoreIdentity(Struct, frozen=True):
    """The id that database and folder share, and the folder that the database was last opened with."""

    store: str
    folder: str
