"""The interpreter taken in short turns while an update works.

Reading a graph is a hundredth of a second of Python and more; the threads that messages pass through wait for the end
of a turn at each hand-over, which is 5 ms unless somebody asks for less.
"""

from __future__ import annotations

import sys
import threading

TURN_SECONDS = 0.0005
"""Long against a switch of threads, short against what a message may be late."""


class _ShortTurns:
    """Turns are short for every thread while somebody is inside: any thread, any number at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(min(self._before, TURN_SECONDS))
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                sys.setswitchinterval(self._before)


SHORT_TURNS = _ShortTurns()
"""The interpreter has one setting for all its threads, so there is one of these."""
