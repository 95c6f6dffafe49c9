"""The address of a registry, with the key that seals the files in which this machine stores its answers."""

import hashlib
from typing import Self


class Origin(str):
    """The address of a registry as its client knows it, and a key that only holders of the same token can compute.

    It is used as a plain string, except by the files of this machine, which use its key. A plain string has a key too,
    computed without a token: it detects damage, but not forgery.

    >>> Origin("http://127.0.0.1:8321", "mrg_…") == "http://127.0.0.1:8321"
    True
    """

    __slots__ = ("_key",)
    _key: bytes

    def __new__(cls, url: str, token: str) -> Self:
        """Combine an address and the token of the caller."""
        self = super().__new__(cls, url)
        self._key = seal_key(url, token)
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Pickle the address alone: the key is as sensitive as the token."""
        return str, (str(self),)

    @property
    def key(self) -> bytes:
        """The key that seals files."""
        return self._key


def seal_key(url: str, token: str) -> bytes:
    """Return the key that seals the answers of one registry to one principal."""
    return f"{url}\n{token}".encode()


def key_of(origin: str) -> bytes:
    """Return the key of an origin; for a plain string it is computed without a token."""
    return origin.key if isinstance(origin, Origin) else seal_key(origin, "")


def file_name(key: bytes, subject: str = "") -> str:
    """Return the name of the file for one principal and one subject."""
    return hashlib.sha256(key + (f"\n{subject}".encode() if subject else b"")).hexdigest()
