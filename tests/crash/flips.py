"""Checks that flip one stored bit; the next use must detect it."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from common_lib import Cache, HttpRegistry
from common_lib.errors import BlobDamaged, DigestMismatch, NotCached, RegistryError
from registry_server.testing import TestBackend
from tests.crash.clients import FILES, REFERENCE, assert_fetched
from tests.crash.worlds import digest


class Bits:
    """A version in a registry and in a cache, and a seeded choice of bits."""

    def __init__(self, world: TestBackend, registry: HttpRegistry, cache: Path, chance: random.Random) -> None:
        self.world = world
        self.registry = registry
        self.cache = Cache(cache)
        self.chance = chance
        registry.fetch(REFERENCE, cache=self.cache)

    def flip(self, content: bytes) -> bytes:
        """Return the bytes with one bit flipped."""
        place = self.chance.randrange(len(content) * 8)
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        return bytes(changed)

    def flip_file(self, file: Path) -> None:
        """Flip one bit in a file."""
        changed = self.flip(file.read_bytes())
        file.chmod(0o600)
        file.write_bytes(changed)

    def one_of(self, folder: Path) -> Path:
        """Return a random file below a folder."""
        return self.chance.choice(
            sorted(file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
        )


def _in_cache(bits: Bits, folder: str, *, each: bool = False) -> None:
    places = sorted((bits.cache.root / folder).iterdir()) if each else [bits.one_of(bits.cache.root / folder)]
    for place in places:
        bits.flip_file(place)
    try:
        bits.registry.fetch(REFERENCE, cache=bits.cache, local_files_only=True)
    except (NotCached, DigestMismatch):
        pass
    else:
        raise AssertionError(f"a bit of {folder} was flipped, and what was kept was used")
    # With a reachable registry the cache repairs itself.
    assert_fetched(bits.registry.fetch(REFERENCE, cache=bits.cache).folder)
    assert_fetched(bits.registry.fetch(REFERENCE, cache=bits.cache, local_files_only=True).folder)


def cached_blob(bits: Bits) -> None:
    """Check that damaged bytes in the cache are not used but fetched again."""
    _in_cache(bits, "blobs")


def cached_manifest(bits: Bits) -> None:
    """Check that a damaged manifest in the cache is not used but requested again."""
    _in_cache(bits, "manifests")


def cached_reference(bits: Bits) -> None:
    """Check that a damaged reference in the cache gives no wrong version."""
    # Processes with and without a token have separate files.
    _in_cache(bits, "references", each=True)


def stored_blob(bits: Bits) -> None:
    """Check that damaged bytes in the registry are quarantined with an event, until they are sent again."""
    file = bits.one_of(bits.world._home / "blobs" / "sha256")
    bits.flip_file(file)
    empty = Cache(bits.cache.root.parent / "empty")
    _refused(bits, empty, DigestMismatch)
    assert not list(empty.root.glob("blobs/sha256/*/*.*")), "wrong bytes were kept"
    assert _newest(bits) == "blob.quarantined"
    _refused(bits, empty, BlobDamaged)
    path = next(path for path, content in FILES.items() if digest(content) == file.name)
    source = bits.cache.root.parent / "source"
    source.write_bytes(FILES[path])
    bits.registry.artifacts.put_blob(file.name, source)
    assert _newest(bits) == "blob.restored"
    assert_fetched(bits.registry.fetch(REFERENCE, cache=empty).folder)
    shutil.rmtree(empty.root)


def stored_manifest(bits: Bits) -> None:
    """Check that a damaged manifest in the database is refused before any byte is fetched."""
    raw = bits.world.env.database._writer.raw  # type: ignore[attr-defined]
    name = bits.registry.versions.resolve(REFERENCE).digest
    ((body,),) = raw.execute("SELECT body FROM documents WHERE digest = ?", (name,)).fetchall()
    raw.execute("UPDATE documents SET body = ? WHERE digest = ?", (bits.flip(body), name))
    empty = Cache(bits.cache.root.parent / "empty")
    _refused(bits, empty, (BlobDamaged, DigestMismatch))
    raw.execute("UPDATE documents SET body = ? WHERE digest = ?", (body, name))
    assert_fetched(bits.registry.fetch(REFERENCE, cache=empty).folder)
    shutil.rmtree(empty.root)


def _refused(bits: Bits, cache: Cache, errors: Any) -> None:
    try:
        bits.registry.fetch(REFERENCE, cache=cache)
    except errors:
        return
    except RegistryError as error:
        raise AssertionError(f"another error than the one that tells of damage: {error!r}") from error
    raise AssertionError("a flipped bit went by unnoticed")


def _newest(bits: Bits) -> str:
    raw = bits.world.env.database._writer.raw  # type: ignore[attr-defined]
    ((body,),) = raw.execute("SELECT body FROM events ORDER BY sequence DESC LIMIT 1").fetchall()
    kind = next(kind for kind in (b"blob.quarantined", b"blob.restored", b"") if kind in body)
    return kind.decode()


KINDS: Final[dict[str, Callable[[Bits], None]]] = {
    "cached blob": cached_blob,
    "cached manifest": cached_manifest,
    "cached reference": cached_reference,
    "stored blob": stored_blob,
    "stored manifest": stored_manifest,
}
