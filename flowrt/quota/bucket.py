"""A sustained rate, as a token bucket. Pure: the clock and what was used are passed in."""

from __future__ import annotations

import threading

BURST_SECONDS = 0.1
"""So much of a second's worth may be used at once: a batch passes without waiting, and over a few seconds the rate
holds."""


class Bucket:
    """Fills at `share` units (CPU seconds, messages, bytes) a second, holds `burst` seconds' worth, may go into debt.

    A node is charged after a batch, for what the batch took: a debt is what it must wait off before the next one.
    """

    __slots__ = ("_at", "_burst", "_level", "_seconds", "share")

    def __init__(self, share: float, now: float, burst: float = BURST_SECONDS) -> None:
        self.share = share
        self._seconds = burst
        self._burst = share * burst
        self._level = self._burst
        self._at = now

    def share_of(self, share: float) -> None:
        """Another rate from here on; a debt is waited off at the new one."""
        self.share, self._burst = share, share * self._seconds

    def charge(self, now: float, used: float) -> float:
        """Take `used` units at time `now`; the seconds to wait before going on."""
        level = self._level + (now - self._at) * self.share
        if level > self._burst:
            level = self._burst
        self._level = level = level - used
        self._at = now
        return -level / self.share if level < 0 else 0.0

    def free(self) -> float:
        """Units that may be used after a charge before the next one, without a look at the clock: there is no debt
        then. A quarter of the burst at most, because what comes back is not counted meanwhile."""
        return max(0.0, min(self._level / 2, self._burst / 4))

    def left(self, now: float) -> float:
        """Units that may be used at `now` without a debt; negative while there is one."""
        return min(self._burst, self._level + (now - self._at) * self.share)

    def full(self, now: float, unpaid: float = 0.0) -> bool:
        """Whether all is there that it holds, but for a tenth."""
        return self.left(now) - unpaid >= 0.9 * self._burst

    def lasts(self, now: float, unpaid: float = 0.0) -> float:
        """Seconds from `now` until one unit a second, besides what is not charged yet, would have used up all."""
        return (self.left(now) - unpaid) / (1 - self.share) if self.share < 1 else float("inf")


class SharedBucket(Bucket):
    """A bucket that several threads charge."""

    __slots__ = ("_lock",)

    def __init__(self, share: float, now: float, burst: float = BURST_SECONDS) -> None:
        super().__init__(share, now, burst)
        self._lock = threading.Lock()

    def charge(self, now: float, used: float) -> float:
        with self._lock:
            return super().charge(max(now, self._at), used)
