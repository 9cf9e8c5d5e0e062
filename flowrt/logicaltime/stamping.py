"""The logical times of one source's messages, and the marks that say what can still come.

A message counts as of its arrival. With `lateness`, one that brings its sender's clock counts as of that, and the
source's mark stays as far behind its clock, so that messages may come in another order than they were made in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flowrt.logicaltime.clock import GraphClock
from flowrt.logicaltime.stamps import DRIFT_MS, START, Stamp, logical


class Stamped(NamedTuple):
    """Times of a batch's messages, and the rows whose clock could not be used."""

    times: Sequence[int]
    drifted: Sequence[int] = ()
    """Rows whose sender's clock is too far ahead: they count as of their arrival."""
    late: Sequence[int] = ()
    """Rows that came later than `lateness` allows: they count as of their arrival."""


class Stamper:
    """Stamps what one source reads. Used by one thread at a time."""

    def __init__(self, clock: GraphClock, lateness_ms: int = 0) -> None:
        self._clock = clock
        self.lateness_ms = lateness_ms
        self._last = START
        self._mark = START

    def stamp(self, stamps: Sequence[Stamp | None]) -> Stamped:
        """The times of messages that came with these clocks of their senders."""
        now = self._clock.now()
        first = max(self._last + 1, logical(now), self._mark)
        arrival = range(first, first + len(stamps))
        self._last = arrival[-1]
        if not any(stamps):
            return Stamped(arrival)
        times, drifted, late = list(arrival), [], []
        for row, stamp in enumerate(stamps):
            if stamp is None:
                continue
            sent = logical(*stamp[:2])
            if stamp[0] > now + DRIFT_MS:
                drifted.append(row)
            elif self.lateness_ms and sent >= self._mark:
                times[row] = sent
            elif self.lateness_ms:
                late.append(row)
        return Stamped(times, drifted, late)

    def mark(self) -> int:
        """No message will be stamped with a smaller time from now on."""
        self._mark = max(self._mark, logical(self._clock.now() - self.lateness_ms))
        return self._mark
