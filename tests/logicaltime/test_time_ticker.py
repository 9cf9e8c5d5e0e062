"""Sources are asked for their marks whenever something is due, whatever was due before."""

import threading

from flowrt.logicaltime.clock import GraphClock
from flowrt.logicaltime.stamps import logical
from flowrt.runtime.timing import Timing


class Source:
    """A source without messages: its mark is the present."""

    lateness_ms = 0

    def __init__(self, clock):
        self._clock = clock
        self.asked = threading.Semaphore(0)

    def mark(self):
        self.asked.release()
        return logical(self._clock.now())


def test_the_second_of_two_open_windows_is_asked_for_once_the_first_has_closed():
    """The node learns late that the first has ended, and does not fall silent in between."""
    timing = Timing(GraphClock, [], [])
    source = timing.entrances["in"] = Source(timing.clock)
    due = timing.watch("window")
    now = timing.clock.now()
    timing.start_ticking()
    try:
        due(logical(now + 1))
        assert source.asked.acquire(timeout=20)
        threading.Event().wait(0.05)  # the ticker sleeps: all that it knew of has been asked for
        due(logical(timing.clock.now() + 20))
        assert source.asked.acquire(timeout=20)
    finally:
        timing.stop_ticking()
