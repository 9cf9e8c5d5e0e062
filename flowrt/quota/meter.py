"""The processor time of one node: measured, counted, and taken from the buckets that bound it.

A node that something bounds has the thread's clock read for each batch. One with a share of its own has a thread of its
own too, and all of that thread's time is the node's: what it spends between batches cannot hide from its quota.

Of a node that nothing bounds the time is only to be known. Reading the thread's clock takes the kernel, and what runs
after that is slow for microseconds: so it is read every 10 ms, and the time divided among the nodes that took turns as
they took time on the wall.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic, sleep, thread_time

from flowrt.counters import NodeCounters
from flowrt.quota.bucket import Bucket, SharedBucket


def never() -> bool:
    """What nobody ends."""
    return False


_SHORT = 0.002
"""Seconds on the wall: who takes longer may have waited for something, and has the thread's clock read at once."""
_SETTLED = 0.01
"""Seconds from one reading of a busy thread's clock to the next."""


class _Thread(threading.local):
    """The time of a thread that is not given to a node yet."""

    def __init__(self) -> None:
        self.at = -1.0
        """Its clock, when it was read last; negative before that."""
        self.until = 0.0
        """When it is to be read again, on the monotonic clock."""
        self._short: set[Meter] = set()
        """Those with turns since then."""

    def tally(self, meter: Meter, wall: float, now: float) -> None:
        short = wall < _SHORT
        if short:
            meter.turns += wall
            self._short.add(meter)
            if now < self.until:
                meter.until = self.until
                return
        self.settle(thread_time(), None if short else meter)
        self.until = now + _SETTLED

    def settle(self, at: float, longest: Meter | None = None) -> None:
        """The clock says `at`: give the time since the last reading to those who took turns. Where one took long, the
        others get what they took at most, and it gets the rest."""
        total = sum([meter.turns for meter in self._short])
        used = at - self.at if self.at >= 0 else total
        self.at = at
        if self._short:
            given = used if longest is None else min(used, total)
            for meter in self._short:
                meter.give(given * meter.turns / total if total else 0.0)
                meter.turns = 0.0
            self._short.clear()
            used -= given
        if longest is not None:
            longest.give(used)


_here = _Thread()


class Meter:
    """Used by one thread at a time: while a graph is built by its builder, then by the node's stage."""

    __slots__ = (
        "_at", "_buckets", "_counters", "_elsewhere", "_free", "_one", "_owner", "_unpaid", "_wait", "_whole_thread",
        "bounded", "paid", "stopped", "turns", "until",
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
        self.paid = 0.0
        """Seconds of the processor that it paid for last."""
        self.turns = 0.0
        """Seconds on the wall since its thread's clock was read last, where nothing bounds it."""
        self.until = 0.0
        """When that clock is to be read again, while there are such turns."""
        self._elsewhere = 0.0
        """Seconds on the wall that another thread worked since the last turn ended."""
        self._counters = counters
        self._buckets = buckets
        self._one = buckets[0] if len(buckets) == 1 and not isinstance(buckets[0], SharedBucket) else None
        self._whole_thread = whole_thread
        self._wait = wait
        self._owner = 0
        self._at = 0.0
        self._unpaid = 0.0
        self._free = 0.0
        """What may stay unpaid: its only bucket has so much and more, and nobody else takes from it."""

    def begin(self) -> None:
        """The node's work begins on this thread."""
        if self._whole_thread:
            self.adopt()
        else:
            self._owner, self._at = threading.get_ident(), thread_time()
            _here.settle(self._at)

    def resume(self) -> None:
        """As `begin`, for who counts with `tally`."""
        if self.bounded:
            self.begin()

    def tally(self, wall: float, now: float) -> None:
        """As `count`, of work that began `wall` seconds before `now` on the monotonic clock, with `resume`."""
        if self.bounded:
            self.count()
        elif self.turns and wall < _SHORT and now < self.until:
            self.turns += wall
        else:
            here, self._elsewhere = max(0.0, wall - self._elsewhere), 0.0
            _here.tally(self, here, now)

    def give(self, seconds: float) -> None:
        """Count processor time that its thread has had, where nothing bounds it."""
        self._counters.cpu_seconds += seconds

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
        self._at = _here.at = at

    def add(self, used: float) -> None:
        """Count CPU seconds of another thread or process that worked for the node."""
        self._counters.cpu_seconds += used
        self._unpaid += used

    def owe(self, seconds: float) -> None:
        """Pay so much more than what is counted."""
        self._unpaid += seconds

    def helped(self, wall: float, used: float) -> None:
        """Another thread has worked for so long in the place of this one, which waited, and used so much."""
        self.add(used)
        self._elsewhere += wall
        self.until = 0.0

    def owed(self) -> float:
        """Pay for what was counted; the seconds to wait."""
        used = self._unpaid
        if used < self._free or not self.bounded:
            return 0.0
        self.paid, self._unpaid = used, 0.0
        now, one = monotonic(), self._one
        if one is not None:
            owed = one.charge(now, used)
            self._free = one.free()
            return owed
        return max([bucket.charge(now, used) for bucket in self._buckets])

    def in_debt(self) -> bool:
        """Whether the node is to wait at present."""
        now = monotonic()
        return any(bucket.left(now) < self._unpaid for bucket in self._buckets)

    def ahead(self) -> float:
        """Seconds of work at full speed until a share is used up."""
        now = monotonic()
        return min((bucket.lasts(now, self._unpaid) for bucket in self._buckets), default=float("inf"))

    def of(self, seconds: float) -> float:
        """Processor time that it may use in so many seconds."""
        return seconds * min(bucket.share for bucket in self._buckets)

    def rested(self) -> bool:
        """Whether the node has used nothing to speak of for a while."""
        now = monotonic()
        return all(bucket.full(now, self._unpaid) for bucket in self._buckets)

    def pause(self, least: float = 0.0) -> float:
        """Count, pay for that or for `least` seconds, and wait; the seconds that took. For the middle of a call."""
        before = self._counters.cpu_seconds
        self.count()
        self._unpaid += max(0.0, least - (self._counters.cpu_seconds - before))
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
