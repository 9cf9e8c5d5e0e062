"""A sink with a spool behind it: straight through while the other side takes messages, through the disk while not.

What cannot be sent within `spool.after` goes to disk, and with it what is under way; so does what is under way when the
other side has been gone for as long, although nothing follows it. The sources are told that it is done with. From then
on all new messages follow through the disk, so that order is kept, until nothing waits there. One thread writes,
gathering what comes so that few durable writes are made (`spool_writer.py`); another sends, at a bounded rate
(`spool_sender.py`). Neither is there before it is needed.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic

from flowrt.delivery.spool.log import SpoolLog
from flowrt.delivery.spool.segment import segment_paths
from flowrt.endpoints.base import EndpointCounters, Spoolable, Stopped
from flowrt.endpoints.sink_breaker import SinkBreaker
from flowrt.endpoints.spool_bounds import Bounds, Pace
from flowrt.endpoints.spool_sender import Sender
from flowrt.endpoints.spool_writer import Writer
from flowrt.errors import NodeFault
from flowrt.events import Emit, MessagesDropped, SpoolDrained, SpoolStarted
from flowrt.message import Batch
from flowrt.operators.sink import SinkOperation

QUEUE_MESSAGES, QUEUE_BYTES = 4096, 8 * 2**20
"""What may wait in memory for the disk; then who sends waits, which is back-pressure."""
LAST_SECONDS = 2.0
"""Of a stop's time: for writing down what the other side has not taken by then."""
REPORT_SECONDS = 10.0
"""How often messages that the spool gives up are told, while it does."""

log = logging.getLogger(__name__)


class SpooledSink:
    """See `flowrt.endpoints.base.Sink`."""

    def __init__(self, endpoint: str, operation: SinkOperation, folder: Path, emit: Emit) -> None:
        """`connect` gives it the sink to stand in for, before anything else."""
        self.endpoint, self.name = endpoint, operation.name
        self.folder = folder
        self.options = operation.spool
        self.emit = emit
        self.changed = threading.Condition()
        # All below is guarded by `changed`, but for what only one thread uses.
        self.queue: deque[Batch] = deque()
        self.queued = self.queued_bytes = 0
        self.direct = True
        self.offering = False
        """Whether a batch is on its way straight to the inner sink; written by the thread that sends, before it looks
        at `direct`."""
        self.adopting = False
        """What is under way is still to be written down."""
        self.writing = False
        self.sending = False
        """Whether a frame was taken from the spool and not all of it has been sent yet."""
        self.flushing = False
        self.closed = False
        self.log: SpoolLog | None = None
        self.pace = Pace(operation.spool.drain_rate)
        self.bounds = Bounds(operation.spool, self.drop)
        self._breaker_options = operation.breaker
        self._threads: list[threading.Thread] = []
        self._overdue: threading.Timer | None = None
        self._failed = False
        self._drained_before = 0
        self._unsaid: dict[str, int] = {}
        self._said = float("-inf")

    def connect(self, inner: Spoolable) -> None:
        self.inner = inner
        self.counters: EndpointCounters = inner.counters
        inner.when_lost(self._lost)
        self.breaker = SinkBreaker(self._breaker_options, self.endpoint, self.name, self.counters, self.emit)

    def refused(self, then: Callable[[Batch, NodeFault], None]) -> Callable[[Batch, NodeFault], None]:
        """What the inner sink is to call for rows that were refused: the breaker hears of them first."""

        def hear(rows: Batch, fault: NodeFault) -> None:
            self.breaker.refused(fault)
            then(rows, fault)

        return hear

    # What a sink does.

    def start(self) -> None:
        self.inner.start()
        left_over = False
        with suppress(OSError):
            left_over = bool(segment_paths(self.folder))
        if left_over:
            with self.changed:
                self.direct = False
                self._start_threads()

    def broken(self) -> bool:
        return self.inner.broken() or self._failed

    def ready(self) -> bool:
        return self.inner.ready()

    def send(self, batch: Batch) -> None:
        """Hand on, or keep: returns once the batch is with the inner sink, or about to be written down."""
        self.offering = True
        try:
            direct = self.direct
            rest = self.inner.offer(batch, self.options.after) if direct and not self.breaker.open else batch
        finally:
            self.offering = False
        if rest is None:
            return
        if direct:
            self._begin()
        with self.changed:
            while not self.closed and (self.queued >= QUEUE_MESSAGES or self.queued_bytes >= QUEUE_BYTES):
                self.changed.wait()
            if self.closed:
                raise Stopped
            self.direct = False  # the last of the spool may have gone out meanwhile: then this is the first of the next
            self._start_threads()
            self.queue.append(rest)
            self.queued += len(rest)
            self.queued_bytes += sum(map(len, rest.payloads))
            self.changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Whether all that was taken is out or on disk within `timeout` seconds."""
        until = monotonic() + timeout
        if self.direct:
            if self.inner.flush(max(0.0, timeout - LAST_SECONDS) if self.inner.ready() else 0.0):
                return True
            if timeout <= 0 or self.closed:
                return False
            self._begin()
        with self.changed:
            self.flushing = True
            self.changed.notify_all()
            try:
                return self.changed.wait_for(self._all_kept, max(0.0, until - monotonic()))
            finally:
                self.flushing = False

    def empty(self) -> bool:
        """Whether nothing waits on disk or for it."""
        with self.changed:
            return self.direct and (self.log is None or not self.log.messages)

    def close(self) -> None:
        with self.changed:
            self.closed = True
            if self._overdue is not None:
                self._overdue.cancel()
            self.changed.notify_all()
        self.inner.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(LAST_SECONDS)
        if self.log is not None and not any(thread.is_alive() for thread in self._threads):
            self.log.close()

    # What its two threads share.

    def drop(self, reason: str, count: int) -> None:
        """Messages were given up; said once in a while, counted always."""
        self.counters.drop(reason, count)
        self._unsaid[reason] = self._unsaid.get(reason, 0) + count
        if monotonic() - self._said >= REPORT_SECONDS:
            self._said = monotonic()
            for why, messages in self._unsaid.items():
                self.emit(MessagesDropped(f"spool of {self.name}", why, messages))
            self._unsaid.clear()

    def waits(self) -> bool:
        """Whether messages are on disk, or just read from there, that must be sent before others are."""
        with self.changed:
            return self.sending or (self.log is not None and bool(self.log.waiting))

    def back_to_direct(self) -> None:
        """Nothing waits any more, perhaps: then messages go straight out again."""
        with self.changed:
            if self.direct or self.queue or self.writing or self.adopting or self.breaker.open:
                return
            if self.waits() or not self.inner.ready():  # while it is away the next message would go to disk at once
                return
            self.direct = True
            drained, self._drained_before = self.counters.drained - self._drained_before, self.counters.drained
        self.emit(SpoolDrained(self.endpoint, self.name, drained))

    def note_figures(self) -> None:
        """For whoever asks for metrics."""
        if self.log is not None:
            counters = self.counters
            counters.spool_messages = self.log.messages
            counters.spool_bytes = self.log.disk_bytes
            with suppress(OSError):
                counters.spool_age = self.log.oldest_seconds()

    def _lost(self) -> None:
        """The other side has gone. Sources that wait for what is under way may send nothing before they hear of it, so
        that no message comes to find out."""
        with self.changed:
            if self.direct and not self.closed:
                if self._overdue is not None:
                    self._overdue.cancel()
                self._overdue = threading.Timer(self.options.after, self._still_lost)
                self._overdue.daemon = True
                self._overdue.start()

    def _still_lost(self) -> None:
        if not self.closed and not self.inner.ready() and not self.inner.flush(0.0):
            self._begin()

    def _begin(self) -> None:
        with self.changed:
            if not self.direct:
                return
            self.direct = False
            self.adopting = True
            self._start_threads()
            self.changed.notify_all()
        self.emit(SpoolStarted(self.endpoint, self.name, self._reason()))

    def _reason(self) -> str:
        if self.breaker.open:
            return "the other side turns messages away"
        if not self.inner.ready():
            return "the other side is away"
        return f"the other side has not taken a batch within {self.options.after:g} s"

    def _all_kept(self) -> bool:
        return not (self.queue or self.writing or self.adopting) or self.closed

    def _start_threads(self) -> None:
        if not self._threads:
            for run, what in ((Writer(self).run, "spool"), (Sender(self).run, "drain")):
                thread = threading.Thread(
                    target=self._guarded, args=(run,), name=f"flowrt/{self.name}/{what}", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except Stopped:
            return
        except Exception:  # a thread of ours must not end unseen
            log.exception("the spool of sink %s failed", self.name)
            self._failed = True
