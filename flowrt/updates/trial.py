"""A new version that carries traffic, the old one beside it: what the new one fails on, the old one handles.

So a bad module costs no message. A fault counts against the new version only where the old one handles the same
message: a message that no version can handle is nobody's fault. Batches are cut into slices that grow while all is
well, and the version is judged after each: a slow one is found out before it has held a whole batch up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from zlib import crc32

from flowrt.errors import GuestTrap, NodeFault
from flowrt.graph.updates import Bounds
from flowrt.message import Batch, Head
from flowrt.operators.base import Emission, Fault, Operator
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.inference import InferenceOperation
from flowrt.operators.transform import TransformOperation
from flowrt.runtime.recovery import merged, process_recovering
from flowrt.runtime.state import hand_over, state_of
from flowrt.updates.shadow import Compared
from flowrt.updates.stopwatch import Stopwatch
from flowrt.updates.verdict import Tally, judge

TRIED = (GuestOperation, InferenceOperation, TransformOperation)
"""Operations whose two versions can stand in for each other, message by message."""
SLICE_MAX = 256
_HEADS_MAX = 4096
_ALL = 2**32

Begin = Callable[[], None]
"""What must be called before an operator is, on the thread that calls it: `Node.begin`."""


class Trial:
    """Implements `operators.base.Operator`. Used by the node's stage."""

    def __init__(
        self,
        new: Operator,
        old: Operator,
        tally: Tally,
        bounds: Bounds,
        *,
        share: float = 1.0,
        begin: Begin,
        compared: Compared | None = None,
        old_lock: threading.Lock | None = None,
    ) -> None:
        """The new version is given a `share` of the topics: less than all while the old one's node is in place, which
        began its work; `begin` is the other node's. `compared` is told what the new version made of which messages;
        `old_lock` is held while the old one works."""
        self.new = new
        self.old = old
        self.verdict: str | None = None
        """Why the new version is given nothing more."""
        self.tripped = threading.Event()
        self._tally = tally
        self._bounds = bounds
        self._share = int(share * _ALL)
        self._begin = begin
        self._compared = compared
        self._old_lock = old_lock or threading.Lock()
        self._watch = Stopwatch(tally)
        self._slice = 1
        self._dead = False
        self._mine: dict[Head, bool] = {}

    @property
    def seen(self) -> int:
        """Messages the new version was given."""
        return self._tally.rows

    @property
    def inner(self) -> Operator:
        """Whose state is the node's."""
        return self.old if self._share < _ALL else self.new

    def process(self, batch: Batch) -> Emission:
        if self.verdict is not None:
            return self._by_old(batch)
        if self._share >= _ALL:
            return self._by_new(batch)
        mine = [self._is_mine(head) for head in batch.heads]
        if not any(mine):
            return self._by_old(batch)
        if all(mine):
            return self._by_new(batch)
        theirs = self._by_old(batch.select([not one for one in mine]))
        return merged([theirs, self._by_new(batch.select(mine))])

    def restart(self) -> None:
        """Both are restarted as they fail."""

    def memory_bytes(self) -> int:
        return self.new.memory_bytes() + self.old.memory_bytes()

    def close(self) -> None:
        """Each belongs to parts of its own."""

    def _is_mine(self, head: Head) -> bool:
        known = self._mine.get(head)
        if known is None:
            if len(self._mine) >= _HEADS_MAX:
                self._mine.clear()
            known = self._mine[head] = crc32(head.topic.encode()) < self._share
        return known

    def _by_old(self, batch: Batch) -> Emission:
        with self._old_lock:
            if self._share >= _ALL:
                self._begin()
            return process_recovering(self.old.process, batch, self._revive_old)

    def _revive_old(self, _fault: NodeFault, _alone: bool) -> None:  # noqa: FBT001 - as `process_recovering` calls it
        self.old.restart()

    def _by_new(self, batch: Batch) -> Emission:
        emissions: list[Emission] = []
        at = 0
        while at < len(batch):
            if self.verdict is not None:
                emissions.append(self._by_old(batch.slice(at, len(batch))))
                break
            rows = batch.slice(at, at + self._slice)
            at += len(rows)
            emissions.append(self._try(rows))
            self._slice = min(2 * self._slice, SLICE_MAX)
            self._judge()
        return emissions[0] if len(emissions) == 1 else merged(emissions)

    def _try(self, rows: Batch) -> Emission:
        """The new version on a slice; the old one on what it fails on."""
        state = state_of(self.new) if self._compared is not None else None
        if self._share < _ALL:
            self._begin()
        try:
            if self._dead:
                self.new.restart()
                self._dead = False
            self._watch.begin()
            emission = self.new.process(rows)
            self._watch.end()
        except NodeFault as fault:
            self._dead = isinstance(fault, GuestTrap)
            self._slice = 1
            if len(rows) > 1:
                return merged([self._try(rows.slice(row, row + 1)) for row in range(len(rows))])
            self._tally.rows += 1
            return self._failed_alone(rows, fault)
        self._tally.rows += len(rows)
        if emission.faults:
            return self._with_old(rows, emission)
        if self._compared is not None:
            self._compared(rows, emission, state)
        return emission

    def _failed_alone(self, rows: Batch, fault: NodeFault) -> Emission:
        """One message on which the new version failed as a whole."""
        self._catch_up()
        emission = self._by_old(rows)
        if not emission.faults:
            if isinstance(fault, GuestTrap):
                self._tally.traps += 1
            else:
                self._tally.failed += 1
            self._tally.detail = str(fault)
            self._judge(caught_up=True)
            if self.verdict is None:
                self._go_on_from_old()
        return emission

    def _with_old(self, rows: Batch, emission: Emission) -> Emission:
        """Messages that the new version refused, given to the old one; results stay in the order of the messages."""
        self._catch_up()
        again = []
        kept: list[Fault] = []
        for fault in emission.faults:
            for row in range(len(fault.rows)):
                one = fault.rows.slice(row, row + 1)
                found = self._by_old(one)
                if found.faults:
                    kept.append(Fault(one, fault.error))
                else:
                    again.append(found)
                    self._tally.failed += 1
                    self._tally.detail = str(fault.error)
        if not again:
            return emission
        self._go_on_from_old()
        whole = merged([Emission(emission.ports, emission.filtered, kept, emission.forked), *again])
        return Emission([_in_order(port, rows) for port in whole.ports], whole.filtered, whole.faults, whole.forked)

    def _catch_up(self) -> None:
        """Let the old version begin where the new one is. One that refuses goes on from where it was."""
        try:
            hand_over(self.new, self.old)
        except NodeFault as fault:
            self._tally.detail = str(fault)

    def _go_on_from_old(self) -> None:
        """Put the new version back in place, with what the old one has seen meanwhile."""
        try:
            if self._dead:
                self.new.restart()
                self._dead = False
            hand_over(self.old, self.new)
        except NodeFault as fault:
            self._trip(f"traps: does not come up again: {fault}")

    def _judge(self, *, caught_up: bool = False) -> None:
        tally = self._tally
        tally.memory, tally.old_memory = self.new.memory_bytes(), self.old.memory_bytes()
        reason = judge(tally, self._bounds)
        if reason is not None and self.verdict is None:
            if not caught_up:
                self._catch_up()
            self._trip(reason)

    def _trip(self, reason: str) -> None:
        self.verdict = reason
        self.tripped.set()


class Watched:
    """A new version whose place no old one can take, because more than it differs. Its faults are the node's; once it
    is worse than its bounds allow, it keeps what it is given back until the old graph is in place again."""

    def __init__(self, operator: Operator, tally: Tally, bounds: Bounds) -> None:
        self.new = self.inner = operator
        self.verdict: str | None = None
        self.tripped = threading.Event()
        self.restart = operator.restart
        self.memory_bytes = operator.memory_bytes
        self.close = operator.close
        self.held: list[Batch] = []
        """What it was given since, the message that tipped the scales included."""
        self._tally = tally
        self._bounds = bounds
        self._watch = Stopwatch(tally)

    @property
    def seen(self) -> int:
        """Messages it was given."""
        return self._tally.rows

    def process(self, batch: Batch) -> Emission:
        tally = self._tally
        if self.verdict is not None:
            return self._hold(batch)
        self._watch.begin()
        try:
            emission = self.new.process(batch)
        except NodeFault as fault:
            if len(batch) == 1:
                tally.rows += 1
                tally.detail = str(fault)
                if isinstance(fault, GuestTrap):
                    tally.traps += 1
                else:
                    tally.failed += 1
                self._judge()
                if self.verdict is not None:
                    return self._hold(batch)
            raise
        self._watch.end()
        tally.rows += len(batch)
        tally.failed += sum(len(fault.rows) for fault in emission.faults)
        if emission.faults:
            tally.detail = str(emission.faults[-1].error)
        self._judge()
        return emission

    def _hold(self, batch: Batch) -> Emission:
        self.held.append(batch)
        return Emission(())

    def _judge(self) -> None:
        self._tally.memory = self.memory_bytes()
        reason = judge(self._tally, self._bounds)
        if reason is not None and self.verdict is None:
            self.verdict = reason
            self.tripped.set()


def _in_order(port: Batch | None, rows: Batch) -> Batch | None:
    if port is None:
        return None
    place = {seq: at for at, seq in enumerate(rows.seqs)}
    return port.take(sorted(range(len(port)), key=lambda row: place[port.seqs[row]]))
