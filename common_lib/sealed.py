"""Sealed files: they are read only if a holder of the same token wrote them for the same subject.

The first line is an HMAC of the rest, with a key made of the address and the token. No principal reads the answers of
another one, and a file is not used if it was written without the token, modified, or renamed.
"""

import hashlib
import hmac
from pathlib import Path

from common_lib.own_files import make_folder, read_own, replace_own


def read_sealed(path: Path, key: bytes, subject: str, *, most_bytes: int) -> bytes:
    """Return the content of a sealed file.

    Raises:
        ValueError: the file was written with another key or for another subject, or has changed since.
        UnsafeFile: another user owns the file or can write it.
        FileNotFoundError: the file does not exist.
    """
    seal, _, text = read_own(path, most_bytes=most_bytes).partition(b"\n")
    if not hmac.compare_digest(seal, _seal(key, subject, text)):
        raise ValueError(f"{path} was not written with this token, or has changed since")
    return text


def write_sealed(path: Path, key: bytes, subject: str, text: bytes) -> None:
    """Write a sealed file, whole or not at all."""
    make_folder(path.parent)
    replace_own(path, _seal(key, subject, text) + b"\n" + text)


def _seal(key: bytes, subject: str, text: bytes) -> bytes:
    return hmac.new(key, subject.encode() + text, hashlib.sha256).hexdigest().encode()
