"""Memory that is held for one node, or that several nodes have in common."""

from __future__ import annotations

import threading

from flowrt.quota.quantity import format_bytes


class Pool:
    """At most `limit` bytes at a time, from this pool and from the `outer` one it is part of. Safe from any thread."""

    def __init__(self, limit: int, words: str, outer: Pool | None = None) -> None:
        """`words` as in "its quota" or "the graph's budget"."""
        self.limit = limit
        self.used = 0
        self.refusal = ""
        """Which bound the last take that failed ran into."""
        self._of = words
        self._words = f"{words} of {format_bytes(limit)}"
        self._outer = outer
        self._lock = threading.Lock()

    def bound(self, limit: int) -> None:
        """Another limit from here on. What is held beyond it stays held; nothing more is given."""
        with self._lock:
            self.limit, self._words = limit, f"{self._of} of {format_bytes(limit)}"

    def take(self, size: int) -> bool:
        """Take `size` bytes, which are all there or none."""
        with self._lock:
            if self.used + size > self.limit:
                self.refusal = self._words
                return False
            if self._outer is not None and not self._outer.take(size):
                self.refusal = self._outer.refusal
                return False
            self.used += size
            return True

    def give(self, size: int) -> None:
        """Give `size` bytes back."""
        with self._lock:
            self.used -= size
        if self._outer is not None:
            self._outer.give(size)

    def left(self) -> int:
        """What may still be taken from this pool, whatever the outer one has."""
        return self.limit - self.used
