"""A node whose guest's state is on disk (`keepState: disk`), as of the messages that are settled.

A message is settled only once the state that it left is written too. So after a kill the guest goes on with the state
of what was acknowledged, and the broker sends the rest again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

from flowrt.counters import NodeCounters
from flowrt.errors import NodeFault, StartError
from flowrt.graph.plan import NodePlan
from flowrt.message import Batch
from flowrt.operators.base import Operator
from flowrt.runtime.keeping import KeepingNode
from flowrt.runtime.onerror import FaultHandler
from flowrt.runtime.state import Stateful, state_of, unwrapped
from flowrt.state.checkpoints import HEADER, CheckpointStore
from flowrt.state.journal import Journal

_STATE = b"g"
_SUM = 4


class StatefulNode(KeepingNode):
    """See `KeepingNode`."""

    _written: bytes | None = None
    """The state that is on disk."""

    def resume(self, *, clock_set_back: bool = False) -> None:  # noqa: ARG002 - a guest's state knows no time of ours
        entries = self._read()
        if not entries:
            self._journal.put(HEADER, self._identity)
            return
        record = entries.get(_STATE, b"")
        state = record[_SUM:]
        operator = self.operator
        if entries.get(HEADER) != self._identity or crc32(state) != int.from_bytes(record[:_SUM], "little"):
            self._put_aside(entries, "it is damaged, or was made by another operation")
            self._journal.put(HEADER, self._identity)
            return
        self._journal.resume(entries)
        try:
            if isinstance(operator, Stateful):
                operator.resume(state)
            self._written = state
            self.counters.restored += len(entries)
        except NodeFault as fault:
            self._put_aside(entries, f"the module refuses it: {fault}")
            self._journal.put(HEADER, self._identity)
            self._dead = fault

    def accept(self, batch: Batch) -> None:
        if batch.tracker is not None:  # one row more of each, which ends with the commit
            batch.tracker.fork(batch.seqs)
            self._owe(batch.tracker, batch.seqs)
        self._touch()
        super().accept(batch)

    def _handle(self, batch: Batch) -> None:
        """Where a message that failed is tried again, none behind it is handled before: the module is given one at a
        time, since the state depends on the order."""
        if self._on_error.policy != "retry" or len(batch) == 1:
            super()._handle(batch)
            return
        for row in range(len(batch)):
            super()._handle(batch.slice(row, row + 1))

    def _take(self, old: KeepingNode, entries: Mapping[bytes, bytes]) -> None:  # noqa: ARG002
        """The state itself goes from operator to operator: see `hand_over`."""
        self._written = None

    def commit(self) -> None:
        state = state_of(unwrapped(self.operator))
        if state is not None and state is not self._written and state != self._written:
            self._journal.put(_STATE, crc32(state).to_bytes(_SUM, "little") + state)
            self._written = state
        super().commit()


def stateful(
    graph: str,
    plan: NodePlan,
    operator: Operator,
    faults: FaultHandler,
    counters: NodeCounters,
    store: CheckpointStore,
    **given: Any,
) -> StatefulNode:
    """The node of an operation whose guest's state is kept. Raises `StartError` for one that has none."""
    if state_of(operator) is None:
        raise StartError(f"node '{plan.name}' of '{graph}': keepState is disk, and its module keeps no state")
    identity = str(getattr(plan.operation, "operation_type", "")).encode()
    return StatefulNode(
        graph, plan.name, operator, faults, counters, store=store, identity=identity, journal=Journal(), **given
    )
