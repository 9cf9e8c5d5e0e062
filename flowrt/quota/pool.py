"""Memory that several nodes have in common."""

from __future__ import annotations

import threading

from flowrt.quota.quantity import format_bytes


class Pool:
    """At most `limit` bytes at a time, from this pool and from the `outer` one it is part of. Safe from any thread."""

    def __init__(self, limit: int, whose: str, outer: Pool | None = None) -> None:
        """`whose` as in "the graph's"."""
        self.limit = limit
        self.used = 0
        self.words = f"{whose} budget of {format_bytes(limit)}"
        self._outer = outer
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take `size` bytes, which are all there or none."""
        with self._lock:
            if self.used + size > self.limit or (self._outer is not None and not self._outer.take(size)):
                return False
            self.used += size
            return True

    def give(self, size: int) -> None:
        """Give `size` bytes back."""
        with self._lock:
            self.used -= size
            if self._outer is not None:
                self._outer.give(size)
