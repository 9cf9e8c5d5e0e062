"""Keeps a sink from sending while its other side turns messages away for now."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from flowrt.endpoints.base import EndpointCounters
from flowrt.errors import NodeFault
from flowrt.events import BreakerOpened, Emit
from flowrt.operators import spool_config
from flowrt.quota.breaker import Breaker


class SinkBreaker:
    """Closed at first; open for a pause after so many refusals; then half open: the next message is sent alone, and
    what becomes of it decides. `refused` is called from any thread, the rest by the one that sends."""

    def __init__(
        self,
        options: spool_config.Breaker,
        endpoint: str,
        sink: str,
        counters: EndpointCounters,
        emit: Emit,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.open = False
        """Whether to send nothing, or one message at a time."""
        self._options = options
        self._endpoint, self._sink = endpoint, sink
        self._counters = counters
        self._emit = emit
        self._clock = clock
        self._breaker = Breaker(options.refusals, options.within, options.pause)
        self._until = float("-inf")

    def refused(self, fault: NodeFault) -> None:
        """The other side refused a message."""
        if fault.kind != "busy":
            return
        now = self._clock()
        if not self.open and not self._breaker.fault(now):
            return
        if not self.open or now >= self._until:
            self._counters.breaker_opens += 1
            self._emit(
                BreakerOpened(self._endpoint, self._sink, self._options.refusals, self._options.pause, fault.detail)
            )
        self._until = now + self._options.pause
        self.open = True

    def pausing(self) -> bool:
        """Whether nothing is to be sent at present."""
        return self.open and self._clock() < self._until

    def passed(self) -> None:
        """What was sent alone was taken."""
        if not self.pausing():
            self.open = False
