"""Identity of a store, which is a database together with its blob folder."""

from msgspec import Struct


class StoreIdentity(Struct, frozen=True):
    """The id that the database and its blob folder share, and the path of the folder when it was last opened."""

    store: str
    folder: str
