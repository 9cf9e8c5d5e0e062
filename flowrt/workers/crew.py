"""Worker processes: started, listened to, started again when they die, and ended."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

from flowrt.events import Emit, WorkerDied
from flowrt.message import Batch
from flowrt.quota.backoff import Backoff
from flowrt.workers.dealing import Feed
from flowrt.workers.figures import GraphFigures, total

ASK, BEGUN, READY, FIGURES = b"?", b"b", b"r", b"f"
SIZE = struct.Struct("=I")
CANNOT_START = 3
"""A worker's exit status when another try will not help."""
_PATIENCE = 1.0
"""Seconds to wait for a worker's figures. Older ones are shown instead."""
_NOT_FOR_WORKERS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

Command = Callable[[int, int, int], Sequence[str]]
"""From a worker's number and its descriptors for messages and for words to the command that starts it."""


class Worker:
    """One place in the crew, whichever process holds it. Used by the supervising thread, but for `figures`."""

    def __init__(
        self,
        number: int,
        command: Command,
        wake: Callable[[], None],
        emit: Emit,
        condemn: Callable[[int, Batch], None],
    ) -> None:
        """`condemn`: see `Feed`."""
        self.number = number
        self.feed = Feed(wake, condemn)
        self._begun = self._worked = False
        """Whether this process reads messages, and whether the one before it did."""
        self.ready = False
        self.past: list[GraphFigures] | None = None
        """The last figures of those who died, added up."""
        self._command = command
        self._wake = wake
        self._emit = emit
        self._backoff = Backoff(0.1, 30.0, free=1, calm=60.0)
        self._process: subprocess.Popen[bytes] | None = None
        self._words: socket.socket | None = None
        self._latest: list[GraphFigures] | None = None
        self._answered = threading.Event()
        self._start_at = 0.0

    def start(self) -> None:
        ours, theirs = socket.socketpair()
        our_words, their_words = socket.socketpair()
        with theirs, their_words:
            environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_WORKERS}
            descriptors = theirs.fileno(), their_words.fileno()
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                self._command(self.number, *descriptors), pass_fds=descriptors, env=environment
            )
        self._words = our_words
        threading.Thread(target=self._listen, args=(our_words,), name="flowrt/worker", daemon=True).start()
        # On a thread: what the predecessor left may be more than fits under way before the new one reads.
        attach = partial(self.feed.attach, ours, worked=self._worked)
        threading.Thread(target=attach, name="flowrt/attach", daemon=True).start()

    def look_after(self) -> int | None:
        """Start the process again when it has died; its exit status when that is of no use."""
        if self._process is None:
            if monotonic() >= self._start_at:
                self.start()
            return None
        status = self._process.poll()
        if status is None:
            return None
        if status == CANNOT_START and not self.ready:
            return status
        self._bury(status)
        return None

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self, until: float) -> bool:
        """Whether the process has ended by then; it is killed if not."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, until - monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        return self._process.returncode == 0

    def figures(self) -> list[GraphFigures] | None:
        """The newest there are; None from a worker that has not begun. From any thread."""
        words = self._words
        if words is not None and self.ready:
            self._answered.clear()
            try:
                words.send(ASK)
            except OSError:
                return self._latest
            self._answered.wait(_PATIENCE)
        return self._latest

    def _bury(self, status: int) -> None:
        pause = self._backoff.next(monotonic())
        self._emit(WorkerDied(self.number, _cause(status), self.feed.open_count, pause))
        self._start_at = monotonic() + pause
        self._process = None
        self._worked, self._begun, self.ready = self._begun, False, False
        latest, self._latest = self._latest, None
        if latest is not None:
            for graph in latest:
                graph.broken = []
            self.past = latest if self.past is None else total([self.past, latest])

    def _listen(self, words: socket.socket) -> None:
        with words, words.makefile("rb") as stream:
            try:
                while kind := stream.read(1):
                    if kind == BEGUN:
                        self._begun = True
                    elif kind == READY:
                        self.ready = True
                        self._wake()
                    elif kind == FIGURES:
                        size = SIZE.unpack(stream.read(SIZE.size))[0]
                        self._latest = pickle.loads(stream.read(size))  # noqa: S301 - from our own child
                        self._answered.set()
            except (OSError, EOFError, struct.error, pickle.UnpicklingError):
                return  # it died in the middle of a word


def _cause(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
