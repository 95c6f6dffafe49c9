"""How fast a client takes its answer: what it was sent counts as taken when its kernel has acknowledged it.

The write buffer of the transport alone would not do: the kernel takes from it in steps of up to a MiB, between which a
slow reader looks like one that has stopped.
"""

import asyncio
import fcntl
import struct
import termios
from typing import Final

_INT: Final = struct.Struct("i")


class ResponseProgress:
    """A meter of one connection, to be asked now and then, and at each turn of the transport's flow control.

    Between two turns nothing is written to a full buffer, so a decrease of the waiting bytes was taken by the client.
    """

    __slots__ = ("_mark", "_since", "_taken", "_transport", "_waiting")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._waiting = self._taken = self._mark = 0
        self._since: float | None = None

    def note(self) -> int:
        """Count what was taken since the last time, and return how many bytes wait to be taken."""
        waiting = self._transport.get_write_buffer_size()
        if waiting:
            waiting += _in_kernel(self._transport)
        self._taken += max(0, self._waiting - waiting)
        self._waiting = waiting
        return waiting

    def is_stalled(self, now: float, window_s: float, least_per_s: float) -> bool:
        """Return whether bytes have waited for a whole window in which fewer were taken than the least rate gives."""
        if not self.note():
            self._since = None
        elif self._since is None:
            self._since, self._mark = now, self._taken
        elif now - self._since >= window_s:
            if self._taken - self._mark < max(1.0, least_per_s * (now - self._since)):
                return True
            self._since, self._mark = now, self._taken
        return False


def _in_kernel(transport: asyncio.Transport) -> int:
    """Return how many bytes the kernel holds that the client's has not acknowledged; 0 where it does not tell."""
    try:
        (held,) = _INT.unpack(fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4)))
    except (OSError, ValueError, AttributeError):
        return 0
    return int(held)
