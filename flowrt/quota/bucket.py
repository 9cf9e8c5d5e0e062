"""A sustained share of CPU time, as a token bucket. Pure: the clock and the used time are passed in."""

from __future__ import annotations


class Bucket:
    """Fills at `share` seconds of CPU a second, holds at most `burst` seconds, and may go into debt.

    A node is charged after a batch, for what the batch took: a debt is what it must wait off before the next one.
    """

    __slots__ = ("_at", "_burst", "_level", "_share")

    def __init__(self, share: float, now: float, burst: float = 0.1) -> None:
        self._share = share
        self._burst = share * burst
        self._level = self._burst
        self._at = now

    def charge(self, now: float, used: float) -> float:
        """Take `used` CPU seconds at time `now`; the seconds to wait before going on."""
        self._level = min(self._burst, self._level + (now - self._at) * self._share) - used
        self._at = now
        return -self._level / self._share if self._level < 0 else 0.0
