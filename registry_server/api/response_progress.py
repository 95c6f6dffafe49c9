"""Measures how fast a client receives a response: bytes count once the client's kernel has acknowledged them.

The write buffer of the transport is not enough: the kernel takes bytes from it in steps of up to 1 MiB. Between two
steps, a slow client looks like a client that has stopped reading.
"""

import asyncio
import fcntl
import struct
import termios
from typing import Final

_INT: Final = struct.Struct("i")


class ResponseProgress:
    """A meter of the response bytes that one client receives.

    `note` is called at regular times and whenever the transport pauses or resumes writing. Between two calls no bytes
    are added to a full buffer, so a decrease means that the client has received bytes.
    """

    __slots__ = ("_mark", "_since", "_taken", "_transport", "_waiting")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._waiting = self._taken = self._mark = 0
        self._since: float | None = None

    def note(self) -> int:
        """Count the bytes that the client received since the last call, and return how many bytes still wait."""
        waiting = self._transport.get_write_buffer_size()
        if waiting:
            waiting += _count_in_kernel(self._transport)
        self._taken += max(0, self._waiting - waiting)
        self._waiting = waiting
        return waiting

    def is_stalled(self, now: float, window_s: float, least_per_s: float) -> bool:
        """Return whether bytes waited for `window_s` seconds while the client received fewer than `least_per_s`."""
        if not self.note():
            self._since = None
        elif self._since is None:
            self._since, self._mark = now, self._taken
        elif now - self._since >= window_s:
            if self._taken - self._mark < max(1.0, least_per_s * (now - self._since)):
                return True
            self._since, self._mark = now, self._taken
        return False


def _count_in_kernel(transport: asyncio.Transport) -> int:
    """Return how many bytes in the kernel the client has not acknowledged; 0 where the system does not report it."""
    try:
        (held,) = _INT.unpack(fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4)))
    except (OSError, ValueError, AttributeError):
        return 0
    return int(held)
