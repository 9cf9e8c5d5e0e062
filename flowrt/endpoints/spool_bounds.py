"""What keeps a spool within its bounds and its sending gentle. Clocks are passed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from flowrt.delivery.spool.log import SpoolLog
from flowrt.operators.spool_config import Spool

MESSAGE_BYTES = 32
"""What a message takes on disk beside its payload, about."""

Drop = Callable[[str, int], None]
"""Counts messages that were given up: a member of `flowrt.events.DROPS`, and how many."""


class Bounds:
    """Makes room in a spool, as its options say."""

    def __init__(self, options: Spool, drop: Drop) -> None:
        self._options = options
        self._drop = drop

    def make_room(self, log: SpoolLog, messages: int, size: int) -> Literal["room", "full", "refuse"]:
        """Before `messages` of `size` payload bytes are kept: whether there is `room` now, whether to wait because it
        is `full`, or to `refuse` them. Raises OSError."""
        options = self._options
        self.expire(log)
        size += messages * MESSAGE_BYTES
        while log.messages and (log.messages + messages > options.messages or log.disk_bytes + size > options.bytes):
            if options.when_full == "newest":
                return "refuse"
            if options.when_full == "wait" or not (dropped := log.drop_oldest()):
                return "full"
            self._drop("spoolFull", dropped)
        return "room"

    def expire(self, log: SpoolLog) -> None:
        """Give up what has waited for too long. Raises OSError."""
        if self._options.age is None:
            return
        while log.waiting and log.waiting_seconds() > self._options.age and (dropped := log.drop_oldest()):
            self._drop("spoolAge", dropped)


class Pace:
    """How fast a spool is sent: so many messages a second beyond those that come in."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._tokens = 0.0
        self._last = float("-inf")

    def came(self, messages: int) -> None:
        """So many more may go out."""
        self._tokens += messages

    def owed(self, messages: int, now: float) -> float:
        """Seconds to wait before `messages` are sent, which then count as sent."""
        if self._rate is None:
            return 0.0
        if self._last > float("-inf"):
            self._tokens = min(self._tokens + (now - self._last) * self._rate, self._rate)
        self._last = now
        self._tokens -= messages
        return max(0.0, -self._tokens / self._rate)
