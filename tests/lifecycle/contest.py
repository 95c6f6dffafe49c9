"""Writers that compete for production of one model, and readers that use every way to read it."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import NamedTuple

from tests.conftest import Server
from tests.lifecycle.pointers import VIEWS, Move, Pointers, Promote, View
from tests.support.steps import version_of

WRITERS, READERS = 8, 4
_GLANCE_S = 0.02  # between two looks, so that the writers are not slowed down
_EACH = 2  # versions of each writer: while one is in production, the other gets ready


class Ended(NamedTuple):
    """The result of a contest: the numbers of promotions, refusals and reads."""

    won: int
    lost: int
    read: int


def contest(
    server: Server, pointers: Pointers, promotions: int, *, moving: bool = False, views: Sequence[View] = VIEWS
) -> Ended:
    """Promote many times by 8 writers while 4 readers read; with `moving`, the alias follows each promotion.

    The error of each loser must name the winner and the reason of its promotion.
    """
    with server.registry() as registry:
        registry.models.create(pointers.model, "regression")
        for number in range(1, WRITERS * _EACH + 1):
            version_of(registry, pointers.model)
            registry.versions.transition(pointers.model, number, "staging", revision=1)
        registry.aliases.create(pointers.model, pointers.named, 1)
        pointers.promote(registry, Promote(1, None), revision=2, reason="version 1, revision 2")
    over, turns = Event(), promotions // WRITERS
    with ThreadPoolExecutor(WRITERS + READERS) as pool:
        watching = [pool.submit(_watch, server, pointers, view, over) for view in views]
        writing = [
            pool.submit(_write, server, pointers, number, promotions // WRITERS, moving=moving)
            for number in range(WRITERS)
        ]
        try:
            lost = sum(writer.result() for writer in writing)
        finally:
            over.set()
        return Ended(turns * WRITERS, lost, sum(reader.result() for reader in watching))


def _write(server: Server, pointers: Pointers, writer: int, turns: int, *, moving: bool) -> int:
    """Promote the writer's own versions in turn; the number of promotions determines the revision of each version."""
    own = [writer * _EACH + place for place in range(1, _EACH + 1)]
    revisions = dict.fromkeys(own, 2) | ({1: 4} if 1 in own else {})
    seen: int | None = 1
    lost = 0
    with server.registry() as registry:
        for version in itertools.islice(itertools.cycle(reversed(own)), turns):
            if revisions[version] != 2:
                registry.versions.transition(pointers.model, version, "staging", revision=revisions[version])
                revisions[version] += 1
            while refusal := pointers.promote(
                registry,
                Promote(version, seen),
                revision=revisions[version],
                reason=f"version {version}, revision {revisions[version]}",
            ):
                lost += 1
                assert refusal.winner is not None, refusal
                assert refusal.winner.reason.startswith(f"version {refusal.winner.version}, revision "), refusal
                seen = refusal.winner.version
            revisions[version] += 2  # promoted, and archived before this writer can promote it again
            seen = version
            if moving:
                while not pointers.move(registry, Move(version, pointers.pointed(registry)[1])):
                    pass
    return lost


def _watch(server: Server, pointers: Pointers, view: View, over: Event) -> int:
    """Read until all writers have ended; exactly one version is in production at each read."""
    read = 0
    with server.registry() as registry:
        while not over.wait(_GLANCE_S):
            seen = pointers.in_production(registry, view)
            assert len(seen) == 1, f"{view.__name__}: {seen} in production"
            read += 1
    return read
