"""Tie a folder, its bytes and a database together: once for a new store, and again when an operator orders it."""

import uuid

from registry_server.core.ports import Database
from registry_server.domain.store import StoreIdentity
from registry_server.invariants import identity, marker
from registry_server.invariants.checks import require
from registry_server.invariants.identity import Facts
from registry_server.settings import Settings


def chosen_id(facts: Facts, *, adopt: bool) -> str:
    """Choose the id of the store: the one it has, or a new one for a new store and for an adopted one.

    An adopted store gets a new id, so that the copies which still carry the old one are refused from then on.
    """
    if not adopt and facts.mark is not None:
        return facts.mark.store
    if not adopt and facts.stored is not None:
        return facts.stored.store
    return uuid.uuid4().hex


async def settle(settings: Settings, database: Database, facts: Facts, store: str, *, adopt: bool) -> None:
    """Give database and folders the id, the database first: without markers it is found to be unfinished.

    Raises:
        InvariantBroken: another server has tied the database to another folder in between.
    """
    site = facts.site
    wanted = StoreIdentity(store, site.folder)
    if not adopt:
        stored = await database.write(lambda records: records.store.claim(wanted))
        if stored.store != store:
            require([identity.store_identity(facts._replace(stored=stored))])
        if stored == wanted:
            _mark(settings, facts, store)
            return
    await database.write(lambda records: records.store.put(wanted))
    _mark(settings, facts, store)


def _mark(settings: Settings, facts: Facts, store: str) -> None:
    made = marker.for_settings(settings, store)
    for folder in (facts.site.data, facts.site.blobs):
        marker.write(folder, made)
