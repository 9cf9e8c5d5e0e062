"""The processor time of one node: measured, counted, and taken from the buckets that bound it.

A batch costs two readings of the thread's clock. A node with a share of its own has a thread of its own too, and all of
that thread's time is the node's: what it spends between batches cannot hide from its quota.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic, sleep, thread_time

from flowrt.counters import NodeCounters
from flowrt.quota.bucket import Bucket


def never() -> bool:
    """What nobody ends."""
    return False


class Meter:
    """Used by one thread at a time: while a graph is built by its builder, then by the node's stage."""

    __slots__ = (
        "_at", "_buckets", "_counters", "_one", "_owner", "_unpaid", "_wait", "_whole_thread", "bounded", "stopped",
    )  # fmt: skip

    def __init__(
        self,
        counters: NodeCounters,
        buckets: Sequence[Bucket] = (),
        *,
        whole_thread: bool = False,
        wait: Callable[[float], object] = sleep,
        stopped: Callable[[], bool] = never,
    ) -> None:
        """`wait` sleeps so many seconds, or less when the graph stops; `stopped` tells whether it has used up the time
        it had for that."""
        self.stopped = stopped
        self.bounded = bool(buckets)
        """Whether there is anything to wait for."""
        self._counters = counters
        self._buckets = buckets
        self._one = buckets[0] if len(buckets) == 1 else None
        self._whole_thread = whole_thread
        self._wait = wait
        self._owner = 0
        self._at = 0.0
        self._unpaid = 0.0

    def begin(self) -> None:
        """The node's work begins on this thread."""
        if self._whole_thread:
            self.adopt()
        else:
            self._owner, self._at = threading.get_ident(), thread_time()

    def adopt(self) -> None:
        """From here on count this thread's time, unless it is this thread's that is counted already."""
        if self._owner != threading.get_ident():
            self._owner, self._at = threading.get_ident(), thread_time()

    def count(self) -> None:
        """Count what was used since `begin` or the last count."""
        at = thread_time()
        used = at - self._at
        self._counters.cpu_seconds += used
        self._unpaid += used
        self._at = at

    def add(self, used: float) -> None:
        """Count CPU seconds of another thread or process that worked for the node."""
        self._counters.cpu_seconds += used
        self._unpaid += used

    def owed(self) -> float:
        """Pay for what was counted; the seconds to wait."""
        if not self.bounded:
            return 0.0
        used, self._unpaid = self._unpaid, 0.0
        now = monotonic()
        if self._one is not None:
            return self._one.charge(now, used)
        return max([bucket.charge(now, used) for bucket in self._buckets])

    def in_debt(self) -> bool:
        """Whether the node is to wait at present."""
        now = monotonic()
        return any(bucket.left(now) < 0 for bucket in self._buckets)

    def ahead(self) -> float:
        """Seconds of work at full speed that what is left of each share allows, as long as nothing uncounted is due."""
        now = monotonic()
        return min((bucket.lasts(now) for bucket in self._buckets), default=float("inf"))

    def pause(self) -> float:
        """Count, pay and wait; the seconds that took. For the middle of a call."""
        self.count()
        return self.wait(self.owed())

    def wait(self, seconds: float) -> float:
        """Wait for a share, which is counted; the seconds it took."""
        if seconds <= 0:
            return 0.0
        began = monotonic()
        self._wait(seconds)
        waited = monotonic() - began
        self._counters.throttled_seconds += waited
        return waited
