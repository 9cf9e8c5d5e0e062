"""Who looks after children that nobody waits for: native code may leave threads behind, whose work would be at nobody's
cost.

One thread for all children, which ends when there are none. It also starts them: the kernel ends a child when the
*thread* that started it ends, so that none stays behind, stopped, when this process is killed.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

LOOK_SECONDS = 0.1
"""What a child may use unseen, once: from then on it is stopped whenever nobody waits for it."""


class Watched(Protocol):
    """A child."""

    def look(self) -> None:
        """Stop it if it works although nobody waits for it. Any thread may call it."""


class Nursery:
    """Starts children and watches them. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: set[Watched] = set()
        self._due: list[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]] = []
        self._wake = threading.Event()
        self._running = False

    def start(self, child: Watched, make: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Start a child's process and watch it until `leave`. Raises what `make` does."""
        made: Future[subprocess.Popen[bytes]] = Future()
        with self._lock:
            self._children.add(child)
            self._due.append((make, made))
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="flowrt-children", daemon=True).start()
        self._wake.set()
        try:
            return made.result()
        except BaseException:
            self.leave(child)
            raise

    def leave(self, child: Watched) -> None:
        """Watch a child no longer. Safe to call twice."""
        with self._lock:
            self._children.discard(child)
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(LOOK_SECONDS)
            with self._lock:
                self._wake.clear()
                due, self._due = self._due, []
                children = list(self._children)
                if not children:
                    self._running = False
                    return
            for make, made in due:
                try:
                    made.set_result(make())
                except BaseException as error:  # noqa: BLE001 - whoever waits for it is to know
                    made.set_exception(error)
            for child in children:
                child.look()


NURSERY = Nursery()
"""Of this process."""
