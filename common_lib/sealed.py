"""Files of this machine that are used only if a holder of the same token wrote them about the same thing.

The first line is an HMAC of the rest, by a key made of the address and the token. So no principal reads what another
one may see, and a file is not used if it was written without the token, has changed since, or had another name.
"""

import hashlib
import hmac
from pathlib import Path

from common_lib.own_files import make_folder, read_own, replace_own


def read_sealed(path: Path, key: bytes, about: str, *, most_bytes: int) -> bytes:
    """Return what was written about a thing.

    Raises:
        ValueError: it was written with another key, about another thing, or has changed since.
        UnsafeFile: the file is not ours, or others can write it.
        FileNotFoundError: it does not exist.
    """
    seal, _, text = read_own(path, most_bytes=most_bytes).partition(b"\n")
    if not hmac.compare_digest(seal, _seal(key, about, text)):
        raise ValueError(f"{path} was not written with this token, or has changed since")
    return text


def write_sealed(path: Path, key: bytes, about: str, text: bytes) -> None:
    """Write a file, whole or not at all."""
    make_folder(path.parent)
    replace_own(path, _seal(key, about, text) + b"\n" + text)


def _seal(key: bytes, about: str, text: bytes) -> bytes:
    return hmac.new(key, about.encode() + text, hashlib.sha256).hexdigest().encode()
