"""The address of a registry, together with what authenticates the files in which a machine remembers its answers."""

import hashlib
from typing import Self


class Origin(str):
    """The address of a registry as its client knows it, and a key that only holders of the same token can make.

    It is a text everywhere; only the files of this machine ask it for the key. A plain text has a key too, made without
    a token: it detects damage, not forgery.

    >>> Origin("http://127.0.0.1:8321", "mrg_…") == "http://127.0.0.1:8321"
    True
    """

    __slots__ = ("_key",)
    _key: bytes

    def __new__(cls, url: str, token: str) -> Self:
        """Join an address and the token of the caller."""
        self = super().__new__(cls, url)
        self._key = seal_key(url, token)
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Pickle the address alone: the key is as good as the token."""
        return str, (str(self),)

    @property
    def key(self) -> bytes:
        """Key of the seals."""
        return self._key


def seal_key(url: str, token: str) -> bytes:
    """Return the key that seals what one principal was answered by one registry."""
    return f"{url}\n{token}".encode()


def key_of(origin: str) -> bytes:
    """Return the key of an origin; that of a plain text is made without a token."""
    return origin.key if isinstance(origin, Origin) else seal_key(origin, "")


def file_name(key: bytes, what: str = "") -> str:
    """Return the name of a file for one principal and one thing that it is about."""
    return hashlib.sha256(key + (f"\n{what}".encode() if what else b"")).hexdigest()
