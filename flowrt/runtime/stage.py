"""A stage: operations that share one thread and one inbox."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from flowrt.endpoints.base import Stopped
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.node import Target

if TYPE_CHECKING:
    from flowrt.runtime.retrying import Retrying


class Errand:
    """Something to be done by a stage's thread between two batches, unless it is withdrawn before."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.done = threading.Event()
        self._work = work
        self._lock = threading.Lock()
        self._begun = self._withdrawn = False

    def run(self) -> None:
        """For the stage's thread."""
        with self._lock:
            if self._withdrawn:
                return
            self._begun = True
        try:
            self._work()
        finally:
            self.done.set()

    def withdraw(self) -> bool:
        """Whether it will not be done: it had not begun."""
        with self._lock:
            self._withdrawn = not self._begun
            return self._withdrawn


class Stage:
    """Feeds what waits in its inbox to `accept`: its first node, whose results reach the others by plain calls."""

    def __init__(self, name: str, inbox: Inbox, accept: Target, batch_max: int, wait: float) -> None:
        self.name = name
        self.inbox = inbox
        self._asked_to_end = False
        self._accept = accept
        self._batch_max = batch_max
        self._wait = wait
        self._errands: deque[Errand] = deque()
        self.retrying: dict[str, Retrying] = {}
        """By node, its messages that wait for another try."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, timeout: float) -> bool:
        """Handle what waits and end; False when `timeout` seconds were not enough: then what waits is left alone."""
        self._asked_to_end = True
        self.inbox.close()
        self.join(timeout)
        return self.ended()

    def feed(self, accept: Target, batch_max: int, wait: float) -> None:
        """Feed another node from here on. Its thread must be at rest, or be the caller."""
        self._accept, self._batch_max, self._wait = accept, batch_max, wait

    def post(self, errand: Errand) -> None:
        """Have something done on its thread between two batches."""
        self._errands.append(errand)
        self.inbox.wake()

    def resume(self) -> None:
        """Let its nodes begin with what is on disk. Called before the first batch, by its thread or by who takes its
        place."""

    def step(self) -> bool:
        """Handle what waits, on the caller's thread; whether there was something. For a stage that is not started."""
        batches = self.inbox.take(self._batch_max) if self.inbox.messages else None
        for batch in batches or ():
            self._accept(batch)
        return bool(batches)

    def idle(self) -> bool:
        """Whether nothing waits for it and it is at nothing."""
        return self.inbox.idle() and not any(waiting.count for waiting in self.retrying.values())

    def freeze(self) -> bool:
        """Whether it is idle. Then it stays so until `thaw`, by the same thread."""
        if not self.inbox.freeze():
            return False
        if self._errands or any(waiting.count for waiting in self.retrying.values()):
            self.inbox.thaw()
            return False
        return True

    def thaw(self) -> None:
        """After `freeze`."""
        self.inbox.thaw()

    def ended(self) -> bool:
        """Whether no thread of it runs."""
        return not self._thread.is_alive()

    def broken(self) -> bool:
        """Whether its thread has ended although nobody asked it to."""
        return self._thread.ident is not None and not self._thread.is_alive() and not self._asked_to_end

    def abandon(self) -> None:
        """Forget what waits, so that the thread ends after the batch it is at."""
        self.inbox.clear()

    def join(self, timeout: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        inbox, errands = self.inbox, self._errands
        while (batches := inbox.take(self._batch_max, self._wait)) is not None:
            accept = self._accept
            for batch in batches:
                try:
                    accept(batch)
                except Stopped:
                    return
            while errands:
                errands.popleft().run()
        self._come_to_end()

    def _come_to_end(self) -> None:
        with suppress(Stopped):
            for waiting in self.retrying.values():
                waiting.finish()
