"""The clock of a graph: follows the wall, never goes back, and does not stand still when the wall does.

A wall clock that is set forward is followed at once. One that is set back is waited for: until it has caught up, the
graph's clock runs at nine tenths of the steady clock's speed, so that windows still end, and it comes nearer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_WAITING_SPEED = 0.9
SET_BACK_MS = 60_000
"""A clock that is further behind than an earlier run had got to has been set back."""


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class GraphClock:
    """Milliseconds since the epoch, for all sources of one graph. Safe from any thread."""

    def __init__(
        self,
        wall: Callable[[], int] = wall_ms,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wall` gives milliseconds since the epoch, `steady` seconds that never go back."""
        self._wall = wall
        self._steady = steady
        self._anchor = float(wall())
        self._anchored = steady()
        self._lock = threading.Lock()

    def begin(self, start: int) -> bool:
        """Go on from `start`, which an earlier run had reached. False when the wall has been set back by more than that
        is worth: then this clock begins at the wall."""
        with self._lock:
            if start > self._anchor + SET_BACK_MS:
                return False
            self._anchor = max(self._anchor, float(start))
            return True

    def now(self) -> int:
        with self._lock:
            wall, steady = self._wall(), self._steady()
            own = self._anchor + (steady - self._anchored) * 1000 * _WAITING_SPEED
            self._anchor, self._anchored = max(float(wall), own), steady
            return int(self._anchor)

    def ahead(self) -> int:
        """Milliseconds that it is ahead of the wall, which has been set back."""
        return max(0, self.now() - self._wall())
