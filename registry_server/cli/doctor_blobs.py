"""The checks of `doctor` on the stored bytes: blobs, quarantine, open uploads, files without a row, and trash."""

import hashlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from common_lib.cli import show
from registry_server.invariants.findings import Finding, Progress, list_first
from registry_server.queries.sql import Sql

_PAGE = 500


async def check_bytes(root: Path, sql: Sql, *, verify: bool, progress: Progress) -> AsyncIterator[Finding]:
    """Check the bytes in the blob folder `root` and yield all findings; with `verify`, also hash every blob."""
    yield await _blobs(root, sql, verify=verify, progress=progress)
    yield await _quarantine(root, sql)
    yield await _uploads(sql)
    yield await _orphans(root, sql)
    yield _trash(root)


async def _blobs(root: Path, sql: Sql, *, verify: bool, progress: Progress) -> Finding:
    last, count, faults = "", 0, []
    statement = "SELECT sha256, size FROM blobs WHERE sha256 > ?1 AND quarantined_at IS NULL ORDER BY sha256 LIMIT ?2"
    while rows := await sql.fetch(statement, last, _PAGE):
        for sha256, size in rows:
            progress(f"{show.count(count, 'blob')} checked …")
            fault = _fault(root / "sha256" / sha256[:2] / sha256, sha256, size, verify=verify)
            faults += [fault] if fault else []
            count += 1
        last = rows[-1][0]
    if faults:
        return Finding(
            "blobs", False, f"{list_first(faults)}: run `registry blobs verify`, then send the same bytes again"
        )
    return Finding(
        "blobs", True, f"{count:,} of the right size" + (" and digest" if verify else "; --verify hashes them")
    )


def _fault(file: Path, sha256: str, size: int, *, verify: bool) -> str:
    try:
        actual = file.stat().st_size
        if actual != size:
            return f"{sha256} has {show.count(actual, 'byte')} instead of {size:,}"
        if verify:
            with file.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
                    return f"the bytes of {sha256} do not match that digest"
    except OSError as error:
        return f"{sha256} cannot be read ({error.strerror})"
    return ""


async def _quarantine(root: Path, sql: Sql) -> Finding:
    rows = await sql.fetch(
        "SELECT b.sha256, f.model, f.version FROM blobs b LEFT JOIN version_files f ON f.sha256 = b.sha256"
        " WHERE b.quarantined_at IS NOT NULL ORDER BY b.sha256, f.model DESC, f.version DESC"
    )
    missed = {row[0]: f"the damaged blob {row[0]} of models:/{row[1]}/{row[2]}" for row in rows if row[1] is not None}
    if missed:
        return Finding(
            "quarantine", False, f"{list_first(list(missed.values()))}: PUT the same bytes to /v1/blobs/… again"
        )
    unnamed = f"{show.count(len(rows), 'damaged blob')} that no version references; " if rows else ""
    return Finding("quarantine", True, f"{unnamed}{_count(_files(root / 'quarantine'))} retained for inspection")


async def _uploads(sql: Sql) -> Finding:
    row = await sql.fetch_one("SELECT COUNT(*), COALESCE(SUM(received), 0), COALESCE(SUM(size), 0) FROM uploads")
    count, received, size = (int(number) for number in row or (0, 0, 0))
    so_far = f", {received:,} of {show.count(size, 'byte')} received" if count else ""
    return Finding("uploads", True, f"{count:,} open{so_far}")


async def _orphans(root: Path, sql: Sql) -> Finding:
    found = []
    for prefix in (f"{number:02x}" for number in range(256)):
        files = dict(_files(root / "sha256" / prefix))
        if files:
            rows = await sql.fetch("SELECT sha256 FROM blobs WHERE sha256 >= ?1 AND sha256 < ?2", prefix, f"{prefix}g")
            found += [(name, size) for name, size in files.items() if name not in {row[0] for row in rows}]
    return Finding("orphan files", True, f"{_count(found)} without a row{_gc_note(found, 'moves', ' to the trash')}")


def _trash(root: Path) -> Finding:
    found = list(_files(root / "trash"))
    return Finding("trash", True, _count(found) + _gc_note(found, "deletes"))


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield name and size of the files in a folder; skip files that are deleted meanwhile."""
    try:
        with os.scandir(folder) as places:
            for place in places:
                try:
                    yield place.name, place.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        return


def _count(found: Iterable[tuple[str, int]]) -> str:
    sizes = [size for _, size in found]
    return f"{show.count(len(sizes), 'file')}, {show.count(sum(sizes), 'byte')}" if sizes else "no files"


def _gc_note(found: list[tuple[str, int]], verb: str, where: str = "") -> str:
    them = "it" if len(found) == 1 else "them"
    return f"; `registry-server gc` {verb} {them}{where} when old enough" if found else ""
