"""`onError: {policy: retry}` without holding anybody else up: a message that failed waits for its next try beside the
stage, and what comes behind it on the same topic waits behind it. All other topics pass.

What waits is not settled: a stop that has no time for it, or a kill, leaves it at its source. It is bounded as the
node's inbox is; beyond that the stage waits, as it would without this file.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import monotonic

from flowrt.endpoints.base import Stopped
from flowrt.message import Batch
from flowrt.operators.base import Emission, OnError
from flowrt.runtime.stage import Errand, Stage
from flowrt.values import Struct, field, replace


class Waiting(Struct):
    """One message: to be tried, or with what became of it already."""

    row: Batch
    """As it entered the node."""
    outputs: Sequence[tuple[int, Batch]] = ()
    """Port and rows: to be handed on once nothing is before them."""
    tries: int = 0


class Line(Struct):
    """The messages of one topic that wait, the first of which failed."""

    due: float
    rows: deque[Waiting] = field(default_factory=deque)


class Retrying:
    """The messages of one node that wait for another try. Used by its stage's thread only, but for `count`."""

    def __init__(
        self,
        on_error: OnError,
        messages_max: int,
        attempt: Callable[[Batch, bool], Emission],
        hand_on: Callable[[Emission, Batch], None],
        stopping: threading.Event,
    ) -> None:
        """`attempt` has the node try a message, for the first time or again; `hand_on` brings what became of it to its
        end."""
        self.count = 0
        """Messages that wait."""
        self._on_error = on_error
        self._max = messages_max
        self._attempt = attempt
        self._hand_on = hand_on
        self._stopping = stopping
        self._lines: dict[str, Line] = {}
        self._stage: Stage | None = None
        self._timer: threading.Timer | None = None

    def attach(self, stage: Stage, node: str) -> None:
        """The stage whose thread is to be woken when a try is due. What waits there for an earlier form of the node is
        taken over."""
        self._stage = stage
        before = stage.retrying.get(node)
        stage.retrying[node] = self
        if before is not None:
            self._lines, before._lines = before._lines, {}
            self.count, before.count = before.count, 0
            before._set_timer()
            self._set_timer()

    def ready(self, batch: Batch) -> Iterator[Batch]:
        """The rows of a batch that may be handled now, each part once the one before was handled. Of several that
        derive from one message, which a node before this one has made, each is in a part of its own: what becomes of
        them is told by the message's number. Raises `Stopped`."""
        for part in _told_apart(batch):
            now = self._hold_back(part) if self._lines else part
            if len(now):
                yield now

    def _hold_back(self, batch: Batch) -> Batch:
        """The rows that may be handled now; those of a topic with a message that waits, wait behind it. Raises
        `Stopped`."""
        lines = self._lines
        behind = [head.topic in lines for head in batch.heads]
        if not any(behind):
            return batch
        for row, wait in enumerate(behind):
            if wait:
                self._wait(batch.heads[row].topic, Waiting(batch.slice(row, row + 1)))
        while self.count > self._max:
            self._sleep()
            self.try_due()
        return batch.select([not wait for wait in behind])

    def split(self, emission: Emission, batch: Batch) -> Emission:
        """What may go on of what became of a batch. Faulted rows, and outputs of rows behind one of the same topic,
        wait."""
        place = {seq: row for row, seq in enumerate(batch.seqs)}
        topics = [head.topic for head in batch.heads]
        failed = dict.fromkeys(self._lines, -1)  # an earlier part of the same batch waits
        entries: dict[int, Waiting] = {}
        for fault in emission.faults:
            for at in range(len(fault.rows)):
                row = place[fault.rows.seqs[at]]
                entries[row] = Waiting(fault.rows.slice(at, at + 1), tries=1)
                failed[topics[row]] = min(failed.get(topics[row], row), row)
        ports = [
            self._ahead(port, out, place, topics, failed, entries, batch) for port, out in enumerate(emission.ports)
        ]
        due = monotonic() + self._on_error.backoff
        for row in sorted(entries):
            self._lines.setdefault(topics[row], Line(due))
            self._wait(topics[row], entries[row])
        self._set_timer()
        return replace(emission, ports=ports, faults=())

    def try_due(self) -> None:
        """Try what is due. Raises `Stopped`."""
        now = monotonic()
        for topic, line in list(self._lines.items()):
            if line.due <= now:
                self._work_off(topic, line)
        self._set_timer()

    def finish(self) -> None:
        """Try until nothing waits: the stage comes to its end. Raises `Stopped` when there is no time left."""
        while self._lines:
            self._sleep()
            self.try_due()

    def _ahead(
        self,
        port: int,
        out: Batch | None,
        place: dict[int, int],
        topics: Sequence[str],
        failed: dict[str, int],
        entries: dict[int, Waiting],
        batch: Batch,
    ) -> Batch | None:
        """The outputs of one port that nothing waits before; the others are noted in `entries`."""
        if out is None:
            return None
        rows = [place[seq] for seq in out.seqs]
        waits = [row > failed.get(topics[row], row) for row in rows]
        for at, row in enumerate(rows):
            if waits[at]:
                entry = entries.setdefault(row, Waiting(batch.slice(row, row + 1)))
                entry.outputs = [*entry.outputs, (port, out.slice(at, at + 1))]
        if not any(waits):
            return out
        ahead = out.select([not wait for wait in waits])
        return ahead if len(ahead) else None

    def _work_off(self, topic: str, line: Line) -> None:
        """One line, until its first message fails again. Raises `Stopped`."""
        while line.rows:
            first = line.rows[0]
            if first.outputs:
                for port, rows in first.outputs:
                    self._hand_on(Emission([None] * port + [rows]), first.row)
            else:
                emission = self._attempt(first.row, first.tries > 0)
                if emission.faults and first.tries < self._on_error.retries:
                    pause = self._on_error.backoff * 2.0 ** min(first.tries, 30)
                    first.tries += 1
                    line.due = monotonic() + pause
                    return
                self._hand_on(emission, first.row)
            line.rows.popleft()
            self.count -= 1
        del self._lines[topic]

    def _wait(self, topic: str, waiting: Waiting) -> None:
        self._lines[topic].rows.append(waiting)
        self.count += 1

    def _sleep(self) -> None:
        """Until the next try is due. Raises `Stopped`."""
        due = min((line.due for line in self._lines.values()), default=0.0)
        if self._stopping.wait(max(0.0, due - monotonic())):
            raise Stopped

    def _set_timer(self) -> None:
        """One thread that sleeps, for the next try; none while nothing waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines and self._stage is not None:
            due = min(line.due for line in self._lines.values())
            self._timer = threading.Timer(max(0.0, due - monotonic()), self._post)
            self._timer.daemon = True
            self._timer.name = "flowrt/retry"
            self._timer.start()

    def _post(self) -> None:
        if self._stage is not None:
            self._stage.post(Errand(self._try))

    def _try(self) -> None:
        with suppress(Stopped):  # what waits stays unacknowledged
            self.try_due()


def _told_apart(batch: Batch) -> Iterator[Batch]:
    """Parts in none of which a number occurs twice."""
    if isinstance(batch.seqs, range) or len(set(batch.seqs)) == len(batch):
        yield batch
        return
    start = 0
    seen: set[int] = set()
    for row, seq in enumerate(batch.seqs):
        if seq in seen:
            yield batch.slice(start, row)
            start = row
            seen.clear()
        seen.add(seq)
    yield batch.slice(start, len(batch))
