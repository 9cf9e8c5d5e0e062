"""When to read: packets that trickle in are let come together first.

A read, a hand-over to another thread and a write cost as much as several dozen messages do, so a connection that brings
thousands of messages a second is read a few hundred times a second and no more. At rates at which messages come one by
one nothing is delayed that matters; and who sends no more, because so many of its messages are under way, is not waited
for.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Protocol

PAUSE = 0.0005
"""Seconds from one read to the next, where reads bring a few messages each."""
BUSY_MESSAGES = 16
"""Messages or acknowledgements of a read that show a busy connection."""
BUSY_PAUSE = 0.001
"""Seconds after which a busy connection is looked at again: if nothing has come, what is there is read."""
BUSY_MOST = 0.004
"""Seconds from one read of a busy connection to the next, at most."""
ENOUGH_BYTES = 32768
"""What is worth a read at once."""


class Readable(Protocol):
    """What `Transport` tells of its reads."""

    last_received: float
    last_read_bytes: int
    last_read_messages: int

    def incoming(self) -> int:
        """Bytes that the kernel holds for the next read."""


def gather(source: Readable, clock: Callable[[], float] = monotonic, pause: Callable[[float], object] = sleep) -> None:
    """Wait as long as that gathers something, counted from the last read."""
    if source.last_read_bytes >= ENOUGH_BYTES:
        return
    since = clock() - source.last_received
    if source.last_read_messages < BUSY_MESSAGES:
        if since < PAUSE:
            pause(PAUSE - since)
        return
    until, there = source.last_received + BUSY_MOST, source.incoming()
    while there < ENOUGH_BYTES and clock() < until:
        pause(BUSY_PAUSE)
        before, there = there, source.incoming()
        if there == before:
            return
