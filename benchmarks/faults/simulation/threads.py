"""Threads in virtual time: those that the program starts run as greenlets, one at a time, as the seed decides.

What the shipped code calls of `threading` and `time` is put in its place while a simulation runs (`virtual`). A thread
gives way where it waits, and now and then where it takes a lock that it does not hold yet, or writes a file: there a
real one could be held up, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from random import Random
from typing import Any
from unittest.mock import patch

import greenlet

from benchmarks.faults.simulation.broker import Crash
from flowrt.endpoints import spool_sender, spool_writer, spooled
from flowrt.endpoints.mqtt import outgoing
from flowrt.endpoints.mqtt import sink as mqtt_sink
from flowrt.runtime import retrying

PREEMPTED = 0.3
"""How often a thread is held up where it may be."""


class Fiber:
    """One thread."""

    def __init__(self, fibers: Fibers, run: Callable[[], object]) -> None:
        self.greenlet = greenlet.greenlet(run, fibers.hub)
        self.ready: Callable[[], bool] = lambda: True
        self.due = float("-inf")
        self.held = 0
        """Locks that it holds."""

    def is_alive(self) -> bool:
        return not self.greenlet.dead


class Fibers:
    """The threads of one life of the process, and the clock, which goes on over all lives."""

    def __init__(self, random: Random) -> None:
        self.now = 0.0
        self.hub = greenlet.getcurrent()
        self.current: Fiber | None = None
        self._random = random
        self._fibers: list[Fiber] = []
        self._over = False

    def clock(self) -> float:
        return self.now

    def spawn(self, run: Callable[[], object]) -> Fiber:
        fiber = Fiber(self, run)
        self._fibers.append(fiber)
        return fiber

    def step(self) -> bool:
        """Let one of them go on; whether one could."""
        able = [fiber for fiber in self._fibers if fiber.ready() or self.now >= fiber.due]
        if not able:
            return False
        fiber = self._random.choice(able)
        fiber.ready, fiber.due = _always, float("-inf")
        self.current = fiber
        try:
            fiber.greenlet.switch()
        finally:
            self.current = None
            if not fiber.is_alive():
                self._fibers.remove(fiber)
        return True

    def give_way(self) -> None:
        """Where a thread may be held up for a while."""
        fiber = self.current
        if fiber is not None and not fiber.held and not self._over and self._random.random() < PREEMPTED:
            self.hub.switch()

    def park(self, ready: Callable[[], bool], seconds: float | None) -> None:
        """Wait. Raises `Crash` when that was the end."""
        fiber = self.current
        if self._over:
            raise Crash
        if fiber is None:
            raise AssertionError("the scheduler itself is made to wait")
        fiber.ready = ready
        fiber.due = self.now + seconds if seconds is not None else float("inf")
        held, fiber.held = fiber.held, 0
        self.hub.switch()
        fiber.held = held

    def end(self) -> None:
        """The process is gone."""
        self._over = True
        for fiber in self._fibers:
            with suppress(Crash):
                fiber.greenlet.throw(Crash)
        self._fibers.clear()
        self._over = False


def _always() -> bool:
    return True


class Condition:
    """See `threading.Condition`. Nobody is preempted who holds one, so that taking it never waits."""

    def __init__(self, fibers: Fibers) -> None:
        self._fibers = fibers
        self._told = 0

    def __enter__(self) -> None:
        self._fibers.give_way()
        if self._fibers.current is not None:
            self._fibers.current.held += 1

    def __exit__(self, *_: object) -> None:
        if self._fibers.current is not None:
            self._fibers.current.held -= 1

    def wait(self, timeout: float | None = None) -> None:
        before = self._told
        self._fibers.park(lambda: self._told != before, timeout)

    def wait_for(self, holds: Callable[[], Any], timeout: float | None = None) -> Any:
        until = None if timeout is None else self._fibers.now + timeout
        while not (held := holds()) and (until is None or self._fibers.now < until):
            self.wait(None if until is None else until - self._fibers.now)
        return held

    def notify_all(self) -> None:
        self._told += 1


class _Thread:
    def __init__(self, fibers: Fibers, target: Callable[..., object], args: tuple[object, ...]) -> None:
        self._fibers, self._run = fibers, lambda: target(*args)
        self._fiber: Fiber | None = None

    def start(self) -> None:
        self._fiber = self._fibers.spawn(self._run)

    def is_alive(self) -> bool:
        return self._fiber is not None and self._fiber.is_alive()


class _Timer(_Thread):
    daemon = True
    name = ""

    def __init__(self, fibers: Fibers, seconds: float, call: Callable[[], object]) -> None:
        super().__init__(fibers, self._wait, ())
        self._seconds, self._call = seconds, call
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def _wait(self) -> None:
        self._fibers.park(lambda: self._cancelled, self._seconds)
        if not self._cancelled:
            self._call()


class _Threading:
    """What the simulated modules use of `threading`."""

    def __init__(self, fibers: Fibers) -> None:
        self._fibers = fibers

    def Condition(self) -> Condition:  # noqa: N802 - as there
        return Condition(self._fibers)

    def Thread(self, *, target: Callable[..., object], args: tuple[object, ...] = (), **_: object) -> _Thread:  # noqa: N802
        return _Thread(self._fibers, target, args)

    def Timer(self, seconds: float, call: Callable[[], object]) -> _Timer:  # noqa: N802
        return _Timer(self._fibers, seconds, call)


@contextmanager
def virtual(fibers: Fibers) -> Iterator[None]:
    """The threads and the clock of what is simulated are these."""
    threading = _Threading(fibers)
    with ExitStack() as stack:
        for module in (spooled, outgoing, retrying):
            stack.enter_context(patch.object(module, "threading", threading))
        for module in (spooled, spool_writer, spool_sender, mqtt_sink, outgoing, retrying):
            stack.enter_context(patch.object(module, "monotonic", fibers.clock))
        yield
