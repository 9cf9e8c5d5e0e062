"""SIGTERM and SIGINT end, SIGHUP reloads."""

from __future__ import annotations

import signal
from queue import Empty, SimpleQueue


class Bell:
    """Wakes whoever waits. It may be rung by a handler of signals, which an `Event` may not: the main thread may hold
    the event's lock at that moment, and would wait for itself. `SimpleQueue.put` is made for that."""

    def __init__(self) -> None:
        self._rung: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """From any thread, or from a handler."""
        self._rung.put(None)

    def wait(self, seconds: float) -> bool:
        """Whether it was rung since the last time, or within `seconds`."""
        try:
            self._rung.get(timeout=seconds)
        except Empty:
            return False
        while not self._rung.empty():
            self._rung.get()
        return True


class Signals:
    """What was asked for since the last look. Made and restored by the main thread."""

    def __init__(self) -> None:
        self.happened = Bell()
        self.end = False
        self.reload = False
        self._before = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._on_end),
                (signal.SIGINT, self._on_end),
                (signal.SIGHUP, self._on_reload),
            )
        }

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def ask_reload(self) -> None:
        """As SIGHUP does; from any thread."""
        self.reload = True
        self.happened.set()

    def _on_end(self, *_: object) -> None:
        self.end = True
        self.happened.set()

    def _on_reload(self, *_: object) -> None:
        self.ask_reload()
