"""The address of a registry, with the key for the local files in which this machine stores the registry's answers."""

import hashlib
from typing import Self


class Origin(str):
    """The address of a registry, with a key that only clients with the same token can compute.

    An origin is a string, the address. Only the code for local files uses the key, to seal the files. If the origin is
    a plain string, its key is computed without a token, so it detects damage but not forgery.

    >>> Origin("http://127.0.0.1:8321", "mrg_…") == "http://127.0.0.1:8321"
    True
    """

    __slots__ = ("_key",)
    _key: bytes

    def __new__(cls, url: str, token: str) -> Self:
        """Create an origin from an address and the token of the caller."""
        self = super().__new__(cls, url)
        self._key = seal_key(url, token)
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Pickle only the address, because the key is as secret as the token."""
        return str, (str(self),)

    @property
    def key(self) -> bytes:
        """The key that seals the local files of this registry and token."""
        return self._key


def seal_key(url: str, token: str) -> bytes:
    """Return the key that seals the stored answers of a registry, computed from its address and the caller's token."""
    return f"{url}\n{token}".encode()


def key_of(origin: str) -> bytes:
    """Return the key of an origin. The key of a plain string is computed without a token."""
    return origin.key if isinstance(origin, Origin) else seal_key(origin, "")


def file_name(key: bytes, subject: str = "") -> str:
    """Return the name of the local file for a key (one registry and one token) and a subject."""
    return hashlib.sha256(key + (f"\n{subject}".encode() if subject else b"")).hexdigest()
