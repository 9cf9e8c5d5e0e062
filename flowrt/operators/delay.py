"""`delay`: a module gives each message a later logical time, such as the end of the window it falls into.

Time only advances: an earlier one than the message has is a fault of kind `time`. A message whose sender's clock lies
in a window that is past is *late*: the module is asked once more, with the message's own logical time in the place of
the sender's clock, so that it falls into a window that is still open. See [time.md](time.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from flowrt.counters import NodeCounters
from flowrt.errors import NodeFault
from flowrt.logicaltime.stamps import COUNTER_BITS
from flowrt.message import Batch
from flowrt.operators.base import Emission, Fault, GuestFactory, as_fault
from flowrt.operators.guest import GuestSlot
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.late import Late, refused

FARTHEST = 31 * 86_400_000 << COUNTER_BITS
"""A message may be put off by a month at most: what waits longer is more likely a mistake."""


class DelayOperation(GuestOperation):
    """Advances each message's logical time, as a module's `delay` says."""

    operation_type: Literal["delay"]
    late: Late = "advance"
    """What becomes of a message that the module puts into the past: `advance` asks again, with the message's logical
    time in the place of its sender's clock; `refuse` makes a fault of kind `late` of it, which goes where `onError`
    says. Either way it is counted."""


class DelayOperator:
    """Runs a guest's `delay`."""

    def __init__(self, factory: GuestFactory, late: Late, counters: NodeCounters) -> None:
        self._slot = GuestSlot(factory)
        self._late = late
        self._counters = counters
        self.restart = self._slot.restart
        self.memory_bytes = self._slot.memory_bytes
        self.close = self._slot.close

    def process(self, batch: Batch) -> Emission:
        times, errors = self._slot.guest.delay(batch)
        self._slot.checkpoint()
        wrong = {row: as_fault(given) for row, given in errors.items()}
        behind = [row for row in range(len(batch)) if row not in errors and times[row] < batch.times[row]]
        if behind:
            late = {row for row in behind if batch.heads[row].timestamp is not None}
            wrong |= {row: _backwards(times[row], batch.times[row]) for row in behind if row not in late}
            times = self._again(batch, list(times), sorted(late), wrong)
        for row, (time, before) in enumerate(zip(times, batch.times, strict=True)):
            if time - before > FARTHEST and row not in wrong:
                wrong[row] = NodeFault("time", "the module puts the message off by more than a month")
        return _divided(batch, times, wrong)

    def _again(self, batch: Batch, times: list[int], late: Sequence[int], wrong: dict[int, NodeFault]) -> list[int]:
        """Rows that are late, with the logical time in the place of the sender's clock."""
        self._counters.late += len(late)
        if not late:
            return times
        if self._late == "refuse":
            wrong |= {row: refused(times[row], batch.times[row]) for row in late}
            return times
        rows = batch.take(late)
        heads = {head: head.with_(timestamp=None) for head in dict.fromkeys(rows.heads)}
        found, errors = self._slot.guest.delay(rows.with_payloads(rows.payloads, [heads[head] for head in rows.heads]))
        self._slot.checkpoint()
        for place, row in enumerate(late):
            times[row] = found[place]
            if place in errors:
                wrong[row] = as_fault(errors[place])
            elif found[place] < batch.times[row]:
                wrong[row] = _backwards(found[place], batch.times[row])
        return times


def _backwards(time: int, before: int) -> NodeFault:
    milliseconds = (before >> COUNTER_BITS) - (time >> COUNTER_BITS)
    return NodeFault("time", f"the module puts the message {milliseconds} ms back in time; time only advances")


def _divided(batch: Batch, times: Sequence[int], wrong: dict[int, NodeFault]) -> Emission:
    faults = tuple(Fault(batch.slice(row, row + 1), fault) for row, fault in sorted(wrong.items()))
    if not wrong:
        return Emission((_at(batch, times),))
    sound = [row not in wrong for row in range(len(batch))]
    rows = _at(batch, times).select(sound)
    return Emission((rows if len(rows) else None,), faults=faults)


def _at(batch: Batch, times: Sequence[int]) -> Batch:
    return Batch(batch.heads, batch.payloads, times, batch.born, batch.seqs, batch.tracker)
