"""A simulated clock: background tasks sleep on it, and wake when the test advances it."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

_PATIENCE_S = 60


class Clock:
    """The time and the tasks that sleep."""

    def __init__(self) -> None:
        self._now = 0.0
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0
        self._changed = asyncio.Event()
        self._began = datetime.now(UTC)

    def now(self) -> datetime:
        """Return the time of the clock."""
        return self._began + timedelta(seconds=self._now)

    async def sleep(self, seconds: float) -> None:
        """Sleep until the test has advanced the clock by so many seconds."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        awake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleeping, (self._now + seconds, self._count, awake))
        self._changed.set()
        await awake

    async def settle(self, tasks: int) -> None:
        """Wait until so many tasks sleep, which means that they have done all due work."""
        async with asyncio.timeout(_PATIENCE_S):
            while len(self._sleeping) < tasks:
                self._changed.clear()
                await self._changed.wait()

    async def advance(self, seconds: float, tasks: int) -> None:
        """Advance the clock, and let each task that wakes finish its work before the clock moves on."""
        await self.settle(tasks)
        until = self._now + seconds
        while self._sleeping and self._sleeping[0][0] <= until:
            self._now, _, awake = heapq.heappop(self._sleeping)
            if not awake.done():
                awake.set_result(None)
                await self.settle(tasks)
        self._now = until
