"""Stores one id in a data folder, its blob folder and a database, if the store is new or an operator adopts it."""

import uuid

from registry_server.core.ports import Database
from registry_server.domain.store import StoreIdentity
from registry_server.invariants import store_identity, store_marker
from registry_server.invariants.checks import require
from registry_server.invariants.store_identity import Facts
from registry_server.settings import Settings


def choose_store_id(facts: Facts, *, adopt: bool) -> str:
    """Return the id of an existing store, or a new id for a new or an adopted store.

    An adopted store gets a new id. From then on, copies with the old id are refused.
    """
    if not adopt and facts.marker is not None:
        return facts.marker.store
    if not adopt and facts.stored is not None:
        return facts.stored.store
    return uuid.uuid4().hex


async def write_store_id(settings: Settings, database: Database, facts: Facts, store: str, *, adopt: bool) -> None:
    """Write the store id to the database and then to the marker files.

    After a crash in between, the next start writes the markers.

    Raises:
        InvariantBroken: another server has written another id to the database in the meantime.
    """
    location = facts.location
    wanted = StoreIdentity(store, location.folder)
    if not adopt:
        stored = await database.write(lambda records: records.store.claim(wanted))
        if stored.store != store:
            require([store_identity.check_identity(facts._replace(stored=stored))])
        if stored == wanted:
            _write_markers(settings, facts, store)
            return
    await database.write(lambda records: records.store.put(wanted))
    _write_markers(settings, facts, store)


def _write_markers(settings: Settings, facts: Facts, store: str) -> None:
    marker = store_marker.for_settings(settings, store)
    for folder in (facts.location.data, facts.location.blobs):
        store_marker.write(folder, marker)
