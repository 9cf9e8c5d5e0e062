"""The time that calls take, and what of it their thread waited for a core that others have: on a busy machine that is
many times what a message takes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import monotonic

from flowrt.updates.verdict import Tally


class Queued:
    """Seconds that the calling thread was ready to run and had no core; 0 where the kernel does not say.

    Source: the second figure of `/proc/PID/task/TID/schedstat`, in nanoseconds (Linux with CONFIG_SCHED_INFO). The file
    is kept open, since it is read around every call.
    """

    def __init__(self, path: str = "/proc/thread-self/schedstat") -> None:
        self._path = path
        self._thread = 0
        self._file = -1

    def __call__(self) -> float:
        try:
            if self._thread != threading.get_ident():
                self._open()
            return int(os.pread(self._file, 64, 0).split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0

    def _open(self) -> None:
        self._thread = threading.get_ident()
        self.__del__()
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)


class Stopwatch:
    """Used by one thread at a time."""

    def __init__(
        self, tally: Tally, clock: Callable[[], float] = monotonic, queued: Callable[[], float] | None = None
    ) -> None:
        self._tally = tally
        self._clock = clock
        self._queued = queued or Queued()
        self._began = (0.0, 0.0)

    def begin(self) -> None:
        """A call begins."""
        self._began = self._queued(), self._clock()

    def end(self) -> None:
        """It is back: its time goes into the tally."""
        queued, began = self._began
        self._tally.seconds += self._clock() - began
        self._tally.waited += self._queued() - queued
