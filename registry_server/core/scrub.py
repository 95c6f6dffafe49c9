"""The scrubber: reads every blob again, slowly and for ever, so that damage is found before the bytes are needed."""

import asyncio
import logging

from registry_server.core import artifacts
from registry_server.core.acts import Act, Ports
from registry_server.core.bootstrap import REGISTRY
from registry_server.domain.errors import NotFound, RegistryError

_log = logging.getLogger(__name__)
_PAGE = 100
_AFTER_FAILURE_S = 60.0


async def run(ports: Ports, *, bytes_per_s: float, pause_s: float) -> None:
    """Go through all blobs by digest, at that rate, with a pause between two rounds, until cancelled."""
    while True:
        try:
            damaged = await once(ports, bytes_per_s)
        except RegistryError:
            _log.warning("the scrub was interrupted; it begins again in a minute", exc_info=True)
            await asyncio.sleep(_AFTER_FAILURE_S)
            continue
        _log.info("all blobs were read, %d damaged ones found", damaged)
        await asyncio.sleep(pause_s)


async def once(ports: Ports, bytes_per_s: float = 0.0) -> int:
    """Read every blob once, and say how many were found damaged that were not known to be."""
    damaged, last = 0, ""
    while page := await ports.database.read.artifacts.blobs(last, _PAGE):
        for blob in page:
            last = blob.sha256
            if blob.quarantined_at is None:
                damaged += await _is_damaged(ports, blob.sha256, bytes_per_s)
    return damaged


async def _is_damaged(ports: Ports, sha256: str, bytes_per_s: float) -> bool:
    key = ports.new_id()
    act = Act(REGISTRY, ports.now(), f"scrub-{key[:16]}", key, f"scrub {sha256}")
    try:
        found = await artifacts.verify(ports, act, sha256, bytes_per_s)
    except NotFound:  # removed meanwhile
        return False
    return not found.sound
