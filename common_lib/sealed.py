"""Read and write sealed files: a sealed file can be read only with the key and the subject with which it was written.

The first line of a sealed file is an HMAC of the other lines. The key is computed from the address and the token. So a
principal cannot read the answers of another principal, and a file that was forged, modified or renamed is not used.
"""

import hashlib
import hmac
from pathlib import Path

from common_lib.own_files import make_folder, read_own, replace_own


def read_sealed(path: Path, key: bytes, subject: str, *, most_bytes: int) -> bytes:
    """Return the content of a sealed file.

    Raises:
        ValueError: the file was written with another key or for another subject, or was modified afterwards.
        UnsafeFile: another user owns the file or can write to it.
        FileNotFoundError: the file does not exist.
    """
    seal, _, text = read_own(path, most_bytes=most_bytes).partition(b"\n")
    if not hmac.compare_digest(seal, _seal(key, subject, text)):
        raise ValueError(f"{path} was not written with this token, or was modified afterwards")
    return text


def write_sealed(path: Path, key: bytes, subject: str, text: bytes) -> None:
    """Write a sealed file atomically, so that it never contains only a part of `text`."""
    make_folder(path.parent)
    replace_own(path, _seal(key, subject, text) + b"\n" + text)


def _seal(key: bytes, subject: str, text: bytes) -> bytes:
    return hmac.new(key, subject.encode() + text, hashlib.sha256).hexdigest().encode()
