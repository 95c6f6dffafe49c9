"""The scrubber: read all blobs again and again at a low rate, to detect damage before the bytes are needed.

The scrubber moves single blobs to quarantine. If the whole medium is missing, or if so many blobs of one round are
damaged that the medium must be the cause, it stops, raises an alarm, and verifies the damaged blobs each minute.
"""

import logging
from datetime import datetime

from registry_server.core import artifacts
from registry_server.core.bootstrap import REGISTRY
from registry_server.core.environment import Environment
from registry_server.core.writes import WriteRequest
from registry_server.domain import errors

_log = logging.getLogger(__name__)
_PAGE = 100
_AFTER_FAILURE_S = 60.0


class Report:
    """Results of the scrubber, for health, metrics and log.

    `alarm` says why the scrubber has stopped; it is empty otherwise.
    """

    def __init__(self) -> None:
        self.alarm = ""
        self.finished_at: datetime | None = None
        self.damaged = 0
        self.restored = 0

    def raise_alarm(self, alarm: str, reason: object) -> None:
        """Set the alarm, which everyone can read, and log its reason if the alarm is new."""
        if alarm != self.alarm:
            _log.error("the scrubber has stopped: %s: %s", alarm, reason)
        self.alarm = alarm

    def clear(self) -> None:
        """Clear the alarm."""
        if self.alarm:
            _log.warning("the scrubber continues after the alarm: %s", self.alarm)
        self.alarm = ""


class TooManyDamaged(RuntimeError):
    """So many blobs of one round are damaged that the medium must be the cause."""

    def __init__(self, digests: list[str]) -> None:
        self.digests = digests
        super().__init__(f"{len(digests)} blobs of one round are damaged or lost")


async def run(env: Environment, *, bytes_per_s: float, pause_s: float, most_damaged: int, report: Report) -> None:
    """Verify all blobs in rounds until cancelled.

    Read `bytes_per_s` bytes per second; pause `pause_s` seconds between two rounds.
    """
    while True:
        try:
            env.blobs.check_medium()
            damaged = await scrub_once(env, bytes_per_s, most_damaged=most_damaged, report=report)
        except TooManyDamaged as why:
            remedy = "check the disk, then restore the bytes; the scrubber verifies them again each minute"
            report.raise_alarm(str(why), f"{', '.join(why.digests)}: {remedy}")
            await _until_restored(env, why.digests, bytes_per_s, report)
            continue
        except errors.RegistryError as why:
            report.raise_alarm(why.detail, why.__cause__ or why.remedy)
            _log.warning("the round of the scrubber was interrupted; a new one begins in a minute", exc_info=True)
            await env.sleep(_AFTER_FAILURE_S)
            continue
        report.clear()
        report.finished_at = env.now()
        _log.info("the scrubber has read all blobs and found %d damaged ones", damaged)
        await env.sleep(pause_s)


async def scrub_once(
    env: Environment, bytes_per_s: float = 0.0, *, most_damaged: int = 0, report: Report | None = None
) -> int:
    """Verify each blob once, those in quarantine first, and return the number of newly damaged ones.

    A blob in quarantine whose bytes were restored is served again.

    Raises:
        TooManyDamaged: `most_damaged` blobs were found damaged; 0 means no limit.
        StorageUnavailable: the medium or the database does not answer.
    """
    report = report or Report()
    found: list[str] = []
    for quarantined in (True, False):
        last = ""
        while page := await env.database.read.artifacts.list_blobs(last, _PAGE):
            for blob in page:
                last = blob.sha256
                if (blob.quarantined_at is not None) != quarantined:
                    continue
                sound = await _is_sound(env, blob.sha256, bytes_per_s)
                if quarantined:
                    report.restored += bool(sound)
                elif sound is False:
                    found.append(blob.sha256)
                    report.damaged += 1
                    if len(found) == most_damaged:
                        raise TooManyDamaged(found)
    return len(found)


async def quarantine_missing(env: Environment) -> int:
    """Move each blob whose file is missing to quarantine, and return the number of these blobs."""
    count, last = 0, ""
    while page := await env.database.read.artifacts.list_blobs(last, _PAGE):
        for blob in page:
            last = blob.sha256
            if blob.quarantined_at is None and not env.blobs.has_blob(blob.sha256, blob.size):
                count += await _is_sound(env, blob.sha256) is False
    return count


async def _until_restored(env: Environment, digests: list[str], bytes_per_s: float, report: Report) -> None:
    """Verify damaged blobs every minute until each of them is intact or removed."""
    while digests:
        await env.sleep(_AFTER_FAILURE_S)
        try:
            still = [sha256 for sha256 in digests if await _is_sound(env, sha256, bytes_per_s) is False]
        except errors.RegistryError:
            _log.warning("the scrubber could not verify the damaged blobs; it retries in a minute", exc_info=True)
            continue
        report.restored += len(digests) - len(still)
        digests = still


async def _is_sound(env: Environment, sha256: str, bytes_per_s: float = 0.0) -> bool | None:
    """Verify a blob and return whether its bytes are intact; return None if the blob was removed meanwhile."""
    key = env.new_id()
    request = WriteRequest(REGISTRY, env.now(), f"scrub-{key[:16]}", key, f"scrub {sha256}")
    try:
        return (await artifacts.verify_blob(env, request, sha256, bytes_per_s)).sound
    except errors.BlobNotFound:
        return None
