"""How long to wait before trying again. Pure: the clock is passed in."""

from __future__ import annotations


class Backoff:
    """The first `free` tries in a row cost nothing; then the pause doubles from `first` to `longest` seconds.

    A row ends when nothing has failed for `calm` seconds, or with `worked`.
    """

    __slots__ = ("_calm", "_count", "_first", "_free", "_last", "_longest")

    def __init__(self, first: float = 0.01, longest: float = 1.0, free: int = 5, calm: float = 10.0) -> None:
        self._first = first
        self._longest = longest
        self._free = free
        self._calm = calm
        self._count = 0
        self._last = float("-inf")

    def worked(self) -> None:
        """What is tried has worked: the next failure begins a new row."""
        self._count = 0

    def next(self, now: float) -> float:
        """Something failed at `now`: the seconds to wait."""
        if now - self._last > self._calm:
            self._count = 0
        self._last = now
        self._count += 1
        doublings = self._count - self._free - 1
        return min(self._longest, self._first * 2.0 ** min(doublings, 60)) if doublings >= 0 else 0.0
