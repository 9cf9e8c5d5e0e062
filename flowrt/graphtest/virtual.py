"""Time that only a test moves."""

from __future__ import annotations

import threading


class VirtualTime:
    """Milliseconds since the epoch, and logical times of them. Used by one thread."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._now = float(start)
        self._last = 0
        """The last logical time given."""

    def milliseconds(self) -> int:
        """Since the epoch."""
        return int(self._now)

    def seconds(self) -> float:
        """In the place of a monotonic clock."""
        return self._now / 1000

    def elapsed(self) -> int:
        """Milliseconds since the start."""
        return int(self._now) - self._start

    def reach(self, after: int) -> None:
        """Be at least so many milliseconds after the start. Time never goes back: a node may have paused longer."""
        self._now = max(self._now, self._start + after)

    def stamps(self, count: int) -> range:
        """So many logical times of now, later than all before (docs/decisions/002-logical-time.md)."""
        first = max(self._last + 1, self.milliseconds() << 20)
        self._last = first + count - 1
        return range(first, first + count)

    def stopping(self) -> threading.Event:
        """What the pauses of a graph wait on: time passes, and nobody waits."""
        return _Pause(self)

    def _pass(self, seconds: float) -> None:
        self._now += max(0.0, seconds) * 1000


class _Pause(threading.Event):
    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None and not self.is_set():
            self._time._pass(timeout)
        return self.is_set()
