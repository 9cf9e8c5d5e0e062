"""`map`: a module makes of each message another one, or none, or several.

AIO's maps are one to one; a core module of ours may also leave a message out or make up to `resources.outputs` of it.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from flowrt.message import Batch
from flowrt.operators.base import Emission, GuestFactory, GuestOutput, faults_of
from flowrt.operators.guest import GuestSlot
from flowrt.operators.guest_config import GuestOperation


class MapOperation(GuestOperation):
    """Transforms messages with a module's `map`."""

    operation_type: Literal["map"]


class MapOperator:
    """Runs a guest's `map`."""

    def __init__(self, factory: GuestFactory) -> None:
        self._slot = GuestSlot(factory)
        self.restart = self._slot.restart
        self.memory_bytes = self._slot.memory_bytes
        self.close = self._slot.close
        self.resume = self._slot.resume

    @property
    def state(self) -> bytes | None:
        return self._slot.state

    def process(self, batch: Batch) -> Emission:
        output = self._slot.guest.map(batch)
        self._slot.checkpoint()
        if isinstance(output.rows, range) and len(output.rows) == len(batch):
            out = batch.with_payloads(output.payloads, output.heads)
            out.size = output.size
            return Emission((out,))
        return _uneven(batch, output)


def _uneven(batch: Batch, output: GuestOutput) -> Emission:
    """Some rows failed, were left out or became several."""
    if len(batch) == 1 and output.rows and not output.errors:
        out = batch.become(output.rows, output.payloads, output.heads)
        return Emission((out,), forked=out.seqs[1:])
    made = Counter(output.rows)
    seqs = batch.seqs
    filtered = [seqs[row] for row in range(len(batch)) if row not in made and row not in output.errors]
    forked = [seqs[row] for row, count in made.items() for _ in range(count - 1)]
    faults = faults_of(batch, output.errors)
    if not output.rows:
        return Emission((None,), filtered, faults)
    out = batch.become(output.rows, output.payloads, output.heads)
    return Emission((out,), filtered, faults, forked)
