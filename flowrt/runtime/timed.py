"""A node that keeps messages until their time has come, with everything its operator does not do itself.

What it keeps is put on disk before the messages are settled at their source (a *commit*), and what leaves is put on
disk before it leaves: it stays there until everything behind has it, under a tracker of the node's own. A kill at any
moment therefore loses nothing and closes no window twice; only what had left and was not yet confirmed comes again.

How to drive one, on threads or on virtual time: `resume()` once, then any order of `accept(batch)`, `pass_to(frontier)`
when nothing before `frontier` can come any more, `commit()` after a batch of work. `due()` is the frontier at which
something will leave. Everything on one thread; only `released` comes from others.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from flowrt.counters import NodeCounters
from flowrt.delivery.tracker import Note, Tracker
from flowrt.errors import GuestTrap, NodeFault, StartError
from flowrt.graph.plan import NodePlan
from flowrt.logicaltime.clock import SET_BACK_MS
from flowrt.logicaltime.stamps import END, START, logical, milliseconds
from flowrt.message import Batch, Message
from flowrt.operators.accumulate import batch_of
from flowrt.operators.base import Emission, Operator
from flowrt.operators.timed import TimedOperator
from flowrt.options.text import text_of
from flowrt.runtime.identity import identified_results
from flowrt.runtime.keeping import KeepingNode
from flowrt.runtime.node import send
from flowrt.runtime.onerror import FaultHandler
from flowrt.runtime.recovery import merged
from flowrt.runtime.repeats import Repeats
from flowrt.state.checkpoints import HEADER, CheckpointStore
from flowrt.state.records import Records, pack_time, unpack_time
from flowrt.values import replace

_IDENTITY = {"operation_type", "order", "rules", "delay", "count", "memory", "triggers", "sliding", "session"}
"""Options by which an operation keeps what it keeps. A module may change: what is kept are messages, and the state that
`flowrt_restore` takes may be an older version's."""
_OUT, _FRONTIER, _NEXT, _CLOCK = b"o", b"f", b"n", b"c"
"""First bytes of keys: a message that has left and is not confirmed, the last frontier at which one left, the number
that the next one will have, the graph's clock at the last commit."""


class TimedNode(KeepingNode):
    """See `KeepingNode`."""

    operator: TimedOperator

    def __init__(
        self,
        graph: str,
        name: str,
        operator: TimedOperator,
        *given: Any,
        store: CheckpointStore,
        identity: bytes,
        **options: Any,
    ) -> None:
        super().__init__(
            graph, name, operator, *given, store=store, identity=identity, journal=operator.journal, **options
        )
        self.woken: Callable[[int | None], None] = _ignored
        """Told the frontier at which something will leave, whenever that may have changed."""
        self.clock: Callable[[], int] | None = None
        """Milliseconds of the graph's clock."""
        self.identify = False
        """Whether to give messages an identity, because some sink makes keys of it."""
        self._latest: int | None = None
        """Later times are not believed, of what leaves after the clock was set back."""
        self._repeats = Repeats()
        self._records = Records()
        self._outbox = Tracker(self._released)
        self._first_out = 0
        """Number of the oldest message that has left and is on disk."""
        self._confirmed = 0
        self._confirming = threading.Lock()
        self._heir: TimedNode | None = None
        """Who has taken over, and is told of what is confirmed late."""

    # What drives it.

    def load(self) -> int:
        """Read what is on disk; the time that had been reached. Raises `StartError`."""
        return _reached(self._load())

    def resume(self, *, clock_set_back: bool = False) -> None:
        """Begin with what is on disk: send again what had left, and keep what was open. After a clock that was set back
        the times of what is open may never come: then it leaves now."""
        entries = self._read()
        out = self._restored(entries)
        if out is None:
            self._journal.put(HEADER, self._identity)
            return
        if self.clock is not None:
            # Each node by what it has reached itself: another may have written nothing since the clock was set back.
            clock_set_back = milliseconds(_reached(entries)) > self.clock() + SET_BACK_MS
            self._latest = logical(self.clock()) if clock_set_back else None
        if out:
            self._leave(batch_of(out), again=True)
        if clock_set_back:
            self.pass_to(END)
            self.operator.frontier, self._latest = START, None
            self._journal.delete(_FRONTIER)
            self._touch()
        else:
            self._work_off()

    def go_on(self) -> None:
        """Also let go what the windows of this node have closed in what it took."""
        self._work_off()

    def pass_to(self, frontier: int) -> None:
        """Nothing before `frontier` will come any more."""
        self.operator.frontier = max(self.operator.frontier, frontier)
        self._work_off()

    def due(self) -> int | None:
        return self.operator.due()

    def commit_at(self) -> float | None:
        if self._confirmed:
            self._touch()
        return super().commit_at()

    def commit(self) -> None:
        self._forget_confirmed()
        self._repeats.write(self._journal)
        if self._journal and self.clock is not None:
            self._journal.put(_CLOCK, pack_time(logical(self.clock())))
        super().commit()

    def accept(self, batch: Batch) -> None:
        notes = batch.tracker.noted(batch.seqs) if batch.tracker is not None else None
        if notes is not None and any(note.again for note in notes):
            batch = self._without_repeats(batch, notes)
            if not len(batch):
                return
        super().accept(batch)

    # What it does with what its operator gave.

    def _hand_on(self, emission: Emission, batch: Batch) -> None:
        if emission.kept:
            if batch.tracker is not None:
                self._owe(batch.tracker, emission.kept)
                for note in batch.tracker.noted(emission.kept) or ():
                    self._repeats.keep(batch.tracker, note)
            self._touch()
        out = _only(emission)
        super()._hand_on(replace(emission, ports=()), batch)
        if out is not None:
            self._leave(out)
        self._work_off()

    def _work_off(self) -> None:
        """Fold what is ready, and let go what nothing can join any more."""
        operator = self.operator
        while (ready := operator.ready()) is not None:
            self._fold(ready)
        due = operator.due()
        if due is not None and due <= operator.frontier:
            emission = operator.closed()
            if emission.faults:
                self._faults.handle(*emission.faults)
            self._touch()
            if operator.frontier < END:
                self._journal.put(_FRONTIER, pack_time(operator.frontier))
            else:  # of a source that has ended, or a clock that was set back: what comes after it is not late
                self._journal.delete(_FRONTIER)
            if (out := _only(emission)) is not None:
                self._leave(out)
        self.counters.windows = operator.windows()
        self.woken(operator.due())

    def _fold(self, ready: Batch) -> None:
        self._meter.begin()
        started = monotonic()
        emission = self._fold_all(ready)
        self.counters.processing.observe(monotonic() - started)
        self._meter.count()
        if emission.faults:
            self._faults.handle(*emission.faults)
        self.operator.folded(ready)
        self._touch()

    def _fold_all(self, ready: Batch) -> Emission:
        """Where a message that failed is tried again, none behind it is folded before: a result may depend on the
        order."""
        fold = self.operator.fold
        if self._on_error.policy != "retry":
            return self._process(ready, fold)
        if len(ready) > 1:
            try:
                return self._call(ready, fold)
            except NodeFault as fault:
                if isinstance(fault, GuestTrap):
                    self._revive(fault, False)
        rows = (ready.slice(row, row + 1) for row in range(len(ready)))
        return merged([self._retry(self._process(row, fold), fold) for row in rows])

    def _leave(self, out: Batch, *, again: bool = False) -> None:
        """Put messages down, then hand them on under a tracker of our own. Those that leave `again` are known by their
        numbers to a node behind that has kept them already."""
        origin = f"{self.graph}/{self.name}"
        if self.identify:
            out = identified_results(out, origin)
        if self._latest is not None:
            out = replace(out, times=[min(time, self._latest) for time in out.times])
        seqs = self._outbox.open(len(out))
        notes = [
            Note(origin, (seq & 0xFFFF).to_bytes(2, "big"), again, head.topic, payload)
            for seq, head, payload in zip(seqs, out.heads, out.payloads, strict=True)
        ]
        self._outbox.note(seqs, notes)
        self._journal.put(_NEXT, seqs.stop.to_bytes(8, "big"))
        for seq, message in zip(seqs, out.rows(), strict=True):
            self._journal.put(_out(seq), self._records.pack(message))
        self.commit()
        self.counters.emitted += len(out)
        rows = Batch(out.heads, out.payloads, out.times, out.born, seqs, self._outbox)
        send(rows, self.targets[0] if self.targets else (), self.counters)

    def _released(self, count: int) -> None:
        """The oldest `count` messages that had left are confirmed. From any thread."""
        with self._confirming:
            heir = self._heir
            self._confirmed += count if heir is None else 0
        if heir is None:
            self.wake()
        else:
            heir._released(count)

    def _forget_confirmed(self) -> None:
        with self._confirming:
            count, self._confirmed = self._confirmed, 0
        for seq in range(self._first_out, self._first_out + count):
            self._journal.delete(_out(seq))
        self._first_out += count

    def _restored(self, entries: dict[bytes, bytes]) -> list[Message] | None:
        """Take over what was kept; what had left and was not confirmed. None when nothing is there, or nothing fits."""
        if not entries:
            return None
        other = entries.get(HEADER, b"")
        if other != self._identity and not _related(other, self._identity):
            self._put_aside(entries, "it was made by another operation")
            return None
        try:
            left = sorted(key for key in entries if key[:1] == _OUT)
            out = [self._records.unpack(entries[key]) for key in left]
            self._journal.resume(entries)
            self._repeats.restore(entries)
            self.operator.frontier = unpack_time(entries.get(_FRONTIER, b""))
            self._fill(entries, other, whole=False)
        except ValueError as error:
            self.operator.begin_again()
            self.operator.frontier = START
            self._put_aside(entries, str(error))
            return None
        for key in left:
            self._journal.delete(key)
        self._first_out = int.from_bytes(left[0][1:] if left else entries.get(_NEXT, b""), "big")
        self._outbox = Tracker(self._released, self._first_out)
        if other != self._identity:
            self._journal.put(HEADER, self._identity)
        self.counters.restored += len(entries)
        return out

    def _fill(self, entries: Mapping[bytes, bytes], identity: bytes, *, whole: bool) -> None:
        """Let the operator begin with what one of that identity kept. Raises ValueError."""
        if identity == self._identity:
            self.operator.restore(entries)
        else:
            self.operator.take_over(entries, whole=whole)

    def _begin_again(self) -> None:
        super()._begin_again()
        self.operator.begin_again()

    def _take(self, old: KeepingNode, entries: Mapping[bytes, bytes]) -> None:
        if not isinstance(old, TimedNode):
            raise NodeFault("internal", "what it would take over keeps no messages")
        self.operator.frontier = old.operator.frontier
        try:
            self._fill(entries, old._identity, whole=True)
        except ValueError as error:
            raise NodeFault("state", str(error)) from error
        self.clock, self._repeats, old._repeats = old.clock, old._repeats, Repeats()
        self._outbox, self._first_out, self._heir = old._outbox, old._first_out, None
        self._outbox.release_to(self._released)
        with old._confirming:
            confirmed, old._confirmed, old._heir = old._confirmed, 0, self
        with self._confirming:
            self._confirmed += confirmed

    def _put_aside(self, entries: dict[bytes, bytes], reason: str) -> None:
        super()._put_aside(entries, reason)
        self._repeats = Repeats()

    def _without_repeats(self, batch: Batch, notes: Sequence[Note]) -> Batch:
        """The rows that were not kept before. The others are settled with the next commit, not at once: what they
        repeat may have been kept in this run, and not be on disk yet."""
        tracker = batch.tracker
        if tracker is None:
            return batch
        fresh = [not self._repeats.known(tracker, note) for note in notes]
        repeated = [seq for seq, new in zip(batch.seqs, fresh, strict=True) if not new]
        if not repeated:
            return batch
        self.counters.received += len(repeated)
        self.counters.repeated += len(repeated)
        self._owe(tracker, repeated)
        self._touch()
        return batch.select(fresh)


def _reached(entries: Mapping[bytes, bytes]) -> int:
    """The time that had been reached when these were written."""
    return max(unpack_time(entries.get(key, b"")) for key in (_FRONTIER, _CLOCK))


def _only(emission: Emission) -> Batch | None:
    return emission.ports[0] if emission.ports else None


def keeping(
    graph: str,
    plan: NodePlan,
    operator: Operator,
    faults: FaultHandler,
    counters: NodeCounters,
    store: CheckpointStore,
    **given: Any,
) -> TimedNode:
    """The node of an operation that keeps messages. Raises `StartError` where it cannot keep any."""
    if not isinstance(operator, TimedOperator):
        raise StartError(f"node '{plan.name}' of '{graph}' keeps messages, and cannot run in a process of its own")
    identity = text_of(plan.operation, only=_IDENTITY).encode()
    return TimedNode(graph, plan.name, operator, faults, counters, store=store, identity=identity, **given)


def _related(one: bytes, other: bytes) -> bool:
    """Whether what the one kept are messages that the other can fold in its own way. A sliding window has given most of
    what it keeps to other windows already."""
    try:
        found = [json.loads(identity) for identity in (one, other)]
    except ValueError:
        return False
    kinds = [each.get("operation_type") for each in found if isinstance(each, dict) and "sliding" not in each]
    return len(kinds) == len(found) and kinds[0] == kinds[1]


def _out(seq: int) -> bytes:
    return _OUT + seq.to_bytes(8, "big")


def _ignored(_: int | None) -> None:
    pass
