"""The thread of one component's instance: what is asked of it is done there, and can be given up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, thread_time
from typing import Any, TypeVar, cast

from flowrt.errors import FlowrtBug
from flowrt.quota.meter import Meter
from flowrt.wasm.component.guest import ComponentGuest

GIVEN_UP = "flowrt-given-up"
"""Name of a thread whose call nobody waits for any more."""
_LOOK = 0.25
"""Seconds from one look at a call under way to the next."""
_T = TypeVar("_T")
Done = tuple[Any, BaseException | None]
"""What came of something: its result, or what it raised."""


class Hands:
    """The thread of one instance. `do` is called by one thread at a time."""

    def __init__(self, meter: Meter | None) -> None:
        self.guest: ComponentGuest | None = None
        self.given_up = False
        self._meter = meter if meter is not None and meter.bounded else None
        self._unbounded = meter if meter is not None and not meter.bounded else None
        self._work: Callable[[], Any] | None = None
        self._done: Done | None = None
        self._deciding = threading.Lock()
        """Held to say that a call is done, or that it is given up: one of the two."""
        self._go, self._back = threading.Semaphore(0), threading.Lock()
        self._back.acquire()
        self.thread = threading.Thread(target=self._run, name="flowrt-guest", daemon=True)
        self.thread.start()

    def do(self, work: Callable[[], _T], lost: Callable[[], BaseException | None]) -> _T:
        """Have it done there. `lost` is asked now and then: what it gives is raised here, and what is done given up."""
        if self.given_up:
            raise FlowrtBug("a guest was called after its call was given up")
        if self._meter is not None:
            self._meter.adopt()
            self._meter.count()
        self._work = work
        self._go.release()
        while not self._back.acquire(timeout=_LOOK):
            if (reason := lost()) is not None and self._give_up():
                raise reason
        if self._meter is not None:
            self._meter.adopt()
        result, error = cast("Done", self._done)
        self._done = None
        if error is not None:
            raise error
        return cast("_T", result)

    def end(self) -> None:
        """No more work comes."""
        self._work = None
        self._go.release()
        self.thread.join()

    def _give_up(self) -> bool:
        with self._deciding:
            self.given_up = self._done is None
        if self.given_up:
            self.thread.name = GIVEN_UP
            if self._meter is not None:
                self._meter.adopt()
        return self.given_up

    def _run(self) -> None:
        while self._go.acquire() and (work := self._work) is not None:
            self._work = None
            done = self._done_with(work)
            with self._deciding:
                if self.given_up:
                    break
                self._done = done
            self._back.release()
            del work, done
        if self.given_up and self.guest is not None:
            with suppress(Exception):  # nobody is there to be told
                self.guest.close()

    def _done_with(self, work: Callable[[], Any]) -> Done:
        began, started = thread_time(), monotonic()
        if self._meter is not None:
            self._meter.adopt()
        try:
            done: Done = work(), None
        except BaseException as error:  # noqa: BLE001 - it is raised where the work was asked for
            done = None, error
        if not self.given_up:
            if self._meter is not None:
                self._meter.count()
            elif self._unbounded is not None:
                self._unbounded.helped(monotonic() - started, thread_time() - began)
        return done
