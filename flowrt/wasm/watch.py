"""Who watches the deadlines of guest calls: one thread an engine, asleep while no guest runs.

A call writes when it is due into `running` and takes it out when it returns: two dictionary operations, no lock. The
thread looks at it every few milliseconds and moves the engine's epoch on only when a call is overdue; the engine then
asks each store that runs whether it is the one meant (`crossing.py`), and that store looks at the clock. So a deadline
never fires early, however the thread is scheduled, and an epoch costs nothing where nothing is overdue.

A call that is held to its share is looked at more often than that, and at the moment it asks for: it has an alarm of
its own (`alarm.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_SHORTEST_TICK = 0.001
_LONGEST_TICK = 0.05
"""50 ms: 20 wake-ups a second under load, and a deadline of 1 s is 5 % late at most."""
_PART = 4
"""Ticks in the shortest deadline watched."""
_QUIET_TICKS = 2
"""Ticks without a call after which the thread goes to sleep: a gateway at 1 Hz wakes three times a second."""


class Watch:
    """Calls `interrupt` when a call in `running` is overdue."""

    def __init__(self, interrupt: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.running: dict[object, float] = {}
        """When each call under way is due, on `clock`, by whatever stands for the call."""
        self.asleep = False
        """A caller that sees it true after it has entered its call in `running` calls `wake`."""
        self.clock = clock
        self._interrupt = interrupt
        self._tick = _LONGEST_TICK
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def expect(self, deadline: float) -> None:
        """Calls of this deadline in seconds will come: the tick becomes a part of the shortest. Starts the thread."""
        with self._starting:
            self._tick = min(self._tick, max(deadline / _PART, _SHORTEST_TICK))
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="flowrt-deadlines", daemon=True)
                self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def look(self) -> None:
        """Interrupt when a call is overdue now."""
        if min(list(self.running.values()), default=float("inf")) <= self.clock():
            self._interrupt()

    def close(self) -> None:
        """Stop the thread. Calls under way lose their deadline. Safe to call twice."""
        self._closed.set()
        self._wake.set()
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        quiet = 0
        while not self._closed.wait(self._tick):
            if self.running:
                quiet = 0
                self.look()
            elif (quiet := quiet + 1) > _QUIET_TICKS:
                self._sleep()
                quiet = 0

    def _sleep(self) -> None:
        """Until a call begins. `asleep` is set before `running` is read again, and a caller writes `running` before it
        reads `asleep`: one of the two sees the other."""
        self._wake.clear()
        self.asleep = True
        if not self.running and not self._closed.is_set():
            self._wake.wait()
        self.asleep = False
