"""What may enter a node: its share of the processor, its messages and its bytes a second, and what is over them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from time import monotonic

from flowrt.counters import NodeCounters
from flowrt.message import Batch
from flowrt.quota.bucket import Bucket
from flowrt.quota.meter import Meter
from flowrt.quota.resources import AtLimit, Resources


class Gate:
    """Stands before a node that has a rate of its own or that a budget bounds. Used by the node's thread only."""

    __slots__ = ("_bytes", "_clock", "_counters", "_free", "_messages", "_meter", "_unpaid", "outcome", "rated")

    def __init__(
        self, resources: Resources, meter: Meter, counters: NodeCounters, clock: Callable[[], float] = monotonic
    ) -> None:
        """`clock` gives the seconds that rates are of."""
        self._clock, now = clock, clock()
        self._counters = counters
        self.outcome: AtLimit = resources.at_limit
        self._meter = meter
        self._messages = None if resources.message_rate is None else Bucket(resources.message_rate, now)
        self._bytes = None if resources.byte_rate is None else Bucket(resources.byte_rate, now)

        self._unpaid = [0, 0]
        """Messages and bytes that have entered and are not charged yet."""
        self._free = [0.0, 0.0]
        """How many may stay so: who waits behind them needs no look at the clock for each batch."""

        self.rated = resources.message_rate is not None or resources.byte_rate is not None
        """Whether it bounds messages or bytes a second."""

    def room(self, payloads: Sequence[bytes]) -> int:
        """How many of these messages, in order, may enter now. With `throttle` all of them: who is over waits behind
        them. One message passes when nothing is owed, however small the rate."""
        count = len(payloads)
        if self.outcome == "throttle":
            return count
        if self._meter.in_debt():
            return 0
        now = self._clock()
        if self._messages is not None:
            count = min(count, _fitting(self._messages.left(now), 1))
        if self._bytes is not None and count:
            left = self._bytes.left(now)
            sums = list(accumulate(map(len, payloads[:count])))
            count = 0 if left < 0 else max(1, bisect_right(sums, left))
        return count

    def charge(self, batch: Batch) -> tuple[float, str]:
        """Take what these messages used; the seconds to wait for messages or bytes, and the bound that asks for it."""
        if not self.rated:
            return 0.0, ""
        unpaid, free = self._unpaid, self._free
        unpaid[0] += len(batch)
        if self._bytes is not None:
            size = batch.counted()
            self._counters.rated_bytes += size
            unpaid[1] += size
        if unpaid[0] < free[0] and unpaid[1] < free[1]:
            return 0.0, ""
        return self._pay()

    def _pay(self) -> tuple[float, str]:
        now = self._clock()
        longest, bound = 0.0, ""
        for at, (bucket, name) in enumerate(((self._messages, "messageRate"), (self._bytes, "byteRate"))):
            used, self._unpaid[at], self._free[at] = self._unpaid[at], 0, float("inf")
            if bucket is None:
                continue
            wait = bucket.charge(now, used)
            # Where messages are turned away, `room` is to know what is left.
            self._free[at] = bucket.free() if self.outcome == "throttle" else 0.0
            if wait > longest:
                longest, bound = wait, name
        return longest, bound


def _fitting(left: float, size: int) -> int:
    return 0 if left < 0 else max(1, int(left / size))
