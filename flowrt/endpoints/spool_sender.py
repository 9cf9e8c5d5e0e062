"""The thread of a spool that sends: in order, at a bounded rate, while the other side is there."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from flowrt.delivery.spool.log import Frame, SpoolLog
from flowrt.endpoints.base import Stopped
from flowrt.events import StoreFailed
from flowrt.message import Batch
from flowrt.quota.backoff import Backoff

if TYPE_CHECKING:
    from flowrt.endpoints.spooled import SpooledSink

LOOK_SECONDS = 0.1
"""Between looks whether the other side is there again."""
TIDY_SECONDS = 1.0
"""Between durable notes of how far it is: what a power cut may repeat is what was sent since the last."""
PROBE_SECONDS = 5.0
"""How long a message that is sent alone may take to be taken."""
PART_MESSAGES = 256
"""Sent at once, so that a bounded rate does not come in lumps."""


class Sender:
    """One for each spooled sink."""

    def __init__(self, sink: SpooledSink) -> None:
        self._sink = sink
        self._backoff = Backoff(first=1.0, longest=30.0, free=0)
        self._tidied = float("-inf")
        self._damaged = 0
        self._tidy = False
        """Whether no file is left of what is out."""

    def run(self) -> None:
        """Until the sink is closed. Raises `Stopped` then."""
        spool = self._when_open()
        while True:
            try:
                self._await_work(spool)
                frame = self._take(spool)
                self._look_after(spool, idle=frame is None)
            except OSError as error:
                pause = self._backoff.next(monotonic())
                self._sink.emit(StoreFailed(f"spool of {self._sink.name}", error.strerror or str(error), pause))
                self._wait(pause)

    def _when_open(self) -> SpoolLog:
        sink = self._sink
        with sink.changed:
            sink.changed.wait_for(lambda: sink.log is not None or sink.closed)
            if sink.closed or sink.log is None:
                raise Stopped
            return sink.log

    def _await_work(self, spool: SpoolLog) -> None:
        """Wait for messages, and for the other side to be there."""
        sink = self._sink
        while True:
            with sink.changed:
                if sink.closed:
                    raise Stopped
                if spool.waiting and sink.inner.ready() and not sink.breaker.pausing():
                    return
                if sink.direct and not spool.messages and self._tidy:
                    sink.changed.wait()
                    continue
                sink.changed.wait(LOOK_SECONDS)
            self._look_after(spool, idle=not spool.waiting)

    def _take(self, spool: SpoolLog) -> Frame | None:
        """Take what is next and send it. Raises OSError."""
        sink = self._sink
        with sink.changed:
            sink.sending = True
        try:
            frame = spool.take()
            if frame is not None:
                self._send(spool, frame)
        finally:
            with sink.changed:
                sink.sending = False
        return frame

    def _send(self, spool: SpoolLog, frame: Frame) -> None:
        sink = self._sink
        self._tidy = False
        for batch in _parts(spool, frame):
            if sink.breaker.open:
                batch = self._probe(batch)
            if len(batch):
                self._wait(sink.pace.owed(len(batch), monotonic()))
                sink.inner.send(batch)
                sink.counters.drained += len(batch)
        self._backoff.worked()

    def _probe(self, batch: Batch) -> Batch:
        """Send single messages, one a pause, until one is taken; the rest of the batch. Raises `Stopped`."""
        sink = self._sink
        while sink.breaker.open and len(batch):
            while sink.breaker.pausing():
                self._wait(LOOK_SECONDS)
            sink.inner.send(batch.slice(0, 1))
            sink.counters.drained += 1
            batch = batch.slice(1, len(batch))
            if sink.inner.flush(PROBE_SECONDS):
                sink.breaker.passed()
        return batch

    def _look_after(self, spool: SpoolLog, *, idle: bool) -> None:
        sink, now = self._sink, monotonic()
        if spool.damaged > self._damaged:
            sink.drop("spoolDamaged", spool.damaged - self._damaged)
            self._damaged = spool.damaged
        if idle:
            if sink.breaker.open and not sink.breaker.pausing():
                sink.breaker.passed()  # nothing is left to try: the next message that comes is the one
            sink.back_to_direct()
        empty = not spool.messages
        if now - self._tidied >= TIDY_SECONDS or (idle and empty):
            self._tidied = now
            sink.bounds.expire(spool)
            spool.tidy()
            self._tidy = empty
            sink.note_figures()

    def _wait(self, seconds: float) -> None:
        sink = self._sink
        until = monotonic() + seconds
        with sink.changed:
            while not sink.closed and (left := until - monotonic()) > 0:
                sink.changed.wait(left)
            if sink.closed:
                raise Stopped


def _parts(spool: SpoolLog, frame: Frame) -> list[Batch]:
    count, now = len(frame.seqs), monotonic()
    start = frame.at << 20
    whole = Batch(
        frame.heads, frame.payloads, range(start, start + count), [now] * count, frame.seqs, spool.tracker
    )  # fmt: skip
    return [whole.slice(at, min(at + PART_MESSAGES, count)) for at in range(0, count, PART_MESSAGES)]
