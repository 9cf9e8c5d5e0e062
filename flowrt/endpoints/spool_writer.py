"""The thread of a spool that writes: gathers what comes, keeps it durably, tells its sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from time import monotonic
from typing import TYPE_CHECKING

from flowrt.delivery.spool.log import SpoolLog
from flowrt.endpoints.base import Stopped
from flowrt.events import SpoolFound, StoreFailed
from flowrt.message import Batch
from flowrt.quota.backoff import Backoff

if TYPE_CHECKING:
    from flowrt.endpoints.spooled import SpooledSink

FRAME_MESSAGES, FRAME_BYTES = 1024, 2**20
"""The most that one durable write holds, but always one message; when so many wait, they are written at once."""
PASS_SECONDS = 0.01
"""Between looks whether a batch is still on its way straight out."""
FULL_SECONDS = 0.2
"""Between looks whether a full spool has room again."""


class Writer:
    """One for each spooled sink."""

    def __init__(self, sink: SpooledSink) -> None:
        self._sink = sink
        self._backoff = Backoff(first=0.2, longest=10.0, free=0)

    def run(self) -> None:
        """Until the sink is closed."""
        self._open()
        while True:
            batches = self._gathered()
            try:
                self._adopt()
                for frame in _frames(batches):
                    self._keep(frame)
            finally:
                with self._sink.changed:
                    self._sink.writing = False
                    self._sink.changed.notify_all()
            self._sink.note_figures()
            if not self._sink.waits():
                self._sink.back_to_direct()

    # What waits in memory.

    def _gathered(self) -> list[Batch]:
        """What came, once there is something and a moment has passed. Raises `Stopped`."""
        sink = self._sink
        with sink.changed:
            sink.changed.wait_for(lambda: sink.queue or sink.adopting or sink.closed)
            until = monotonic() + sink.options.gather
            while not self._urgent() and (left := until - monotonic()) > 0:
                sink.changed.wait(left)
            if sink.closed:
                raise Stopped
            sink.writing = True
            batches = list(sink.queue)
            sink.queue.clear()
            sink.queued = sink.queued_bytes = 0
            sink.changed.notify_all()
            return batches

    def _urgent(self) -> bool:
        sink = self._sink
        enough = sink.queued >= FRAME_MESSAGES or sink.queued_bytes >= FRAME_BYTES
        return enough or sink.flushing or sink.adopting or sink.closed

    # The disk.

    def _open(self) -> None:
        sink = self._sink
        while sink.log is None:
            try:
                found = SpoolLog(sink.folder)
            except OSError as error:
                self._failed(error)
                if sink.adopting or sink.queue:
                    self._pass_by()
                continue
            if found.messages or found.cut_bytes:
                sink.emit(SpoolFound(sink.endpoint, sink.name, found.messages, found.cut_bytes))
            with sink.changed:
                sink.log = found
                sink.changed.notify_all()

    @property
    def _log(self) -> SpoolLog:
        found = self._sink.log
        if found is None:
            raise Stopped
        return found

    def _adopt(self) -> None:
        """Write down what is under way, so that its sources need not wait for it."""
        sink = self._sink
        while sink.adopting:
            self._let_pass()
            try:
                sink.inner.hand_over(self._kept)
            except OSError as error:
                self._failed(error)
                if not sink.inner.flush(0.0):
                    continue  # what is neither on disk nor confirmed would hold its sources up through the next outage
            with sink.changed:
                sink.adopting = False

    def _let_pass(self) -> None:
        """Until no batch is on its way past the spool, which takes `after` at most. Raises `Stopped`."""
        while self._sink.offering:
            self._wait(PASS_SECONDS)

    def _kept(self, batch: Batch) -> Batch:
        spool = self._log
        if batch.tracker is spool.tracker or not len(batch):
            return batch
        seqs = spool.append(batch.heads, batch.payloads, taken=True)
        self._sink.counters.spooled += len(batch)
        return Batch(batch.heads, batch.payloads, batch.times, batch.born, seqs, spool.tracker)

    def _keep(self, frame: Sequence[Batch]) -> None:
        """Write messages down and settle them. Raises `Stopped`."""
        sink, spool = self._sink, self._log
        heads = [head for batch in frame for head in batch.heads]
        payloads = [payload for batch in frame for payload in batch.payloads]
        while True:
            try:
                match sink.bounds.make_room(spool, len(payloads), sum(map(len, payloads))):
                    case "refuse":
                        sink.drop("spoolFull", len(payloads))
                        break
                    case "full":
                        self._wait(FULL_SECONDS)
                        continue
                spool.append(heads, payloads)
            except OSError as error:
                self._failed(error)
                if self._passed_by(frame):
                    return
                continue
            sink.counters.spooled += len(payloads)
            sink.pace.came(len(payloads))
            self._backoff.worked()
            break
        for batch in frame:
            if batch.tracker is not None:
                batch.tracker.settle(batch.seqs)
        with sink.changed:
            sink.changed.notify_all()

    def _passed_by(self, frame: Sequence[Batch]) -> bool:
        """The disk fails: whether the messages could be sent all the same. Only when nothing waits before them."""
        sink = self._sink
        if sink.waits() or not sink.inner.ready() or sink.breaker.open:
            return False
        for batch in frame:
            sink.inner.send(batch)
        return True

    def _pass_by(self) -> None:
        """No spool can be opened: go on without one as long as the other side is there."""
        sink = self._sink
        if not sink.inner.ready() or sink.breaker.open:
            return
        with sink.changed:
            batches = list(sink.queue)
            sink.queue.clear()
            sink.queued = sink.queued_bytes = 0
            sink.adopting, sink.writing = False, True
            sink.changed.notify_all()
        for batch in batches:
            sink.inner.send(batch)
        with sink.changed:
            sink.writing = False
            sink.changed.notify_all()
        sink.back_to_direct()

    def _failed(self, error: OSError) -> None:
        """Say so, and wait. Raises `Stopped`."""
        pause = self._backoff.next(monotonic())
        self._sink.emit(StoreFailed(f"spool of {self._sink.name}", error.strerror or str(error), pause))
        self._wait(pause)

    def _wait(self, seconds: float) -> None:
        sink = self._sink
        until = monotonic() + seconds
        with sink.changed:
            while not sink.closed and (left := until - monotonic()) > 0:
                sink.changed.wait(left)
            if sink.closed:
                raise Stopped


def _frames(batches: Sequence[Batch]) -> Iterator[list[Batch]]:
    """What is written together, in order."""
    frame: list[Batch] = []
    messages = size = 0
    for batch in batches:
        for part in _parts(batch):
            more = sum(map(len, part.payloads))
            if frame and (messages + len(part) > FRAME_MESSAGES or size + more > FRAME_BYTES):
                yield frame
                frame, messages, size = [], 0, 0
            frame.append(part)
            messages += len(part)
            size += more
    if frame:
        yield frame


def _parts(batch: Batch) -> Iterator[Batch]:
    start = 0
    sizes = [0, *accumulate(map(len, batch.payloads))]
    for row in range(1, len(batch)):
        if row - start >= FRAME_MESSAGES or sizes[row + 1] - sizes[start] > FRAME_BYTES:
            yield batch.slice(start, row)
            start = row
    yield batch if start == 0 else batch.slice(start, len(batch))
