"""A node at work: the operator, with everything around it that its author does not write.

Counting, charging the quota, recovering from faults, sending faulted rows where `onError` says, forking and settling at
the tracker, and handing the results on. All of it once a batch. What a node may use is `runtime/limits.py`'s.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from flowrt.counters import NodeCounters
from flowrt.endpoints.base import Stopped
from flowrt.errors import GuestTrap, NodeFault
from flowrt.events import Emit, NodeRestarted
from flowrt.message import Batch, join
from flowrt.operators.base import Emission, Fault, OnError, Operator
from flowrt.quota.backoff import Backoff
from flowrt.quota.breaker import NODE_FAULTS
from flowrt.runtime.limits import Limits
from flowrt.runtime.onerror import FaultHandler
from flowrt.runtime.recovery import after, merged, process_recovering
from flowrt.values import replace

Work = Callable[[Batch], Emission]
if TYPE_CHECKING:
    from flowrt.runtime.retrying import Retrying
    from flowrt.runtime.stage import Stage

Target = Callable[[Batch], None]
"""Takes a batch on: a node of the same stage, or the inbox of another."""

RESTART_PAUSE_MAX = 0.25
"""Seconds. A guest that traps on every message is tried four times a second: little work for the gateway, and a
backlog of bad messages is not in the way of good ones for hours."""

RESTARTS_PER_PAUSE = 40
"""A pause is at most so much longer than the restart before took: restarts never take more than a fortieth of a core,
and a guest that is quickly made anew works off bad messages quickly."""

FAULTS_AT_ONCE = 16
"""So many are less than a millisecond's work of the interpreter."""

log = logging.getLogger(__name__)


class Node:
    """One node of a running graph. `accept` is called by its stage's thread only."""

    def __init__(
        self,
        graph: str,
        name: str,
        operator: Operator,
        faults: FaultHandler,
        counters: NodeCounters,
        *,
        on_error: OnError,
        limits: Limits,
        stopping: threading.Event,
        emit: Emit,
    ) -> None:
        self.graph = graph
        self.name = name
        self.operator = operator
        self.counters = counters
        self.targets: Sequence[Sequence[Target]] = ()
        """For each port, who takes what comes out of it. Set once while the graph is built."""
        self.holds: list[Callable[[], int]] = [operator.memory_bytes]
        """What tells the bytes held for the node: its operator, and what the builder knows of beside it."""
        self.bounds_outputs = False
        """Whether its operator makes no payload larger than the node takes."""
        self._faults = faults
        self._on_error = on_error
        self._limits = limits
        self._message_max = limits.message_max
        self._meter = limits.meter
        self._backoff = Backoff(longest=RESTART_PAUSE_MAX)
        self._restart_seconds = RESTART_PAUSE_MAX
        """What the last restart took."""
        self._dead: NodeFault | None = None
        """Why the operator is not to be called before it was restarted."""
        self._stopping = stopping
        self._emit = emit
        self.retrying: Retrying | None = None
        """Where messages wait for another try; None where they are tried in place."""

    def retry_beside(self, stage: Stage, messages_max: int) -> None:
        """Let messages that failed wait beside their stage for another try, instead of holding it up."""
        from flowrt.runtime.retrying import Retrying  # few graphs retry

        self.retrying = Retrying(self._on_error, messages_max, self._attempt, self._hand_on, self._stopping)
        self.retrying.attach(stage, self.name)

    def accept(self, batch: Batch) -> None:
        """Take a batch through the operator and hand on what comes out."""
        counters = self.counters
        counters.received += len(batch)
        most = self._message_max
        if batch.largest > most and batch.counted() > most and max(map(len, batch.payloads)) > most:
            batch = self._without_oversized(batch)
            if not len(batch):
                return
        if self._limits.bounded:
            self._within_limits(batch)
        elif self.retrying is None:
            self._handle(batch)
        else:
            self._try(batch)

    def _within_limits(self, batch: Batch) -> None:
        """Handle those that may enter now, as many at a time as its limits say, and pay for them."""
        limits = self._limits
        if limits.selects or self.counters.disabled:
            batch = self._admitted(batch)
        while len(batch) > limits.most:
            part, batch = batch.slice(0, limits.most), batch.slice(limits.most, len(batch))
            self._try(part)
            limits.settle(part)
        if len(batch):
            self._try(batch)
            limits.settle(batch)

    def _try(self, batch: Batch) -> None:
        if self.retrying is None:
            self._handle(batch)
        else:
            for ready in self.retrying.ready(batch):
                self._handle(ready)

    def refuse(self, batch: Batch, fault: NodeFault) -> None:
        """Messages that it is not going to handle, to where `onError` says."""
        self._faults.handle(Fault(batch, fault))

    def begin(self) -> None:
        """Work for the node begins on this thread, outside `accept`: before an operator of it is called by another."""
        self._meter.begin()

    def _handle(self, batch: Batch) -> None:
        """Have the operator work on a batch and hand on what comes out."""
        self._meter.resume()
        started = monotonic()
        try:
            emission = self._call(batch)
        except NodeFault as fault:
            self._handle_parts(batch, fault)
        except Stopped:
            raise
        except Exception as error:  # the node boundary: a fault of ours must not take the graph down
            log.exception("node %s of %s failed", self.name, self.graph)
            self._worked(batch, _bug(batch, error), started)
        else:
            self._worked(batch, emission, started)

    def _handle_parts(self, batch: Batch, fault: NodeFault) -> None:
        """The same after a fault. Each part goes on as soon as it is known what became of it, so that a message that
        traps does not hold up those before it."""
        parts, left, started = after(fault, self._call, batch, self._revive, self._on_error.crashes), batch, monotonic()
        while len(left):
            try:
                rows, emission = next(parts)
            except Stopped:
                raise
            except Exception as error:  # the node boundary, as above
                log.exception("node %s of %s failed", self.name, self.graph)
                rows, emission = left, _bug(left, error)
            self._worked(rows, emission, started, in_parts=True)
            left = left.slice(len(rows), len(left))
            self._limits.pay()
            self._meter.resume()
            started = monotonic()

    def _worked(self, rows: Batch, emission: Emission, started: float, *, in_parts: bool = False) -> None:
        """Count what the operator did with some rows, or the part of a batch whose call failed, and see to what became
        of them."""
        if emission.faults and self._on_error.policy == "retry" and self.retrying is None:
            emission = self._retry(emission, self.operator.process)
        self.counters.batches += 1
        now = monotonic()
        self.counters.processing.observe(now - started)
        self._meter.tally(now - started, now)
        if self._limits.behind:
            faulted = sum(len(fault.rows) for fault in emission.faults)
            self._limits.surcharge(len(rows), faulted, len(emission.forked), in_parts and faulted > 0)
        if emission.faults and (self._limits.bypass_faults or self._limits.breaker is not None):
            emission = self._judged(emission, rows)
        if self.retrying is not None and (emission.faults or self.retrying.count):
            emission = self.retrying.split(emission, rows)
        self._hand_on(emission, rows)

    def _attempt(self, batch: Batch, again: bool) -> Emission:  # noqa: FBT001 - as `Retrying` calls it
        """A try of a message that waited."""
        self.counters.retries += again * len(batch)
        self._meter.begin()
        emission = self._process(batch, self.operator.process)
        self._meter.count()
        return emission

    def memory_bytes(self) -> int:
        """What is held for the node at present; safe from any thread."""
        return sum(held() for held in self.holds)

    def _admitted(self, batch: Batch) -> Batch:
        """The messages that may enter now; the others come to the end their limit names."""
        limits = self._limits
        if limits.switched_off():
            if limits.bypass_faults:
                self._bypass(batch)
            else:
                self._faults.handle(Fault(batch, limits.off_fault()))
            return batch.slice(0, 0)
        room = limits.room(batch)
        if room == len(batch):
            return batch
        over = batch.slice(room, len(batch))
        if limits.outcome == "bypass":
            self._bypass(over)
        else:
            self.counters.drop("limit", len(over))
            if over.tracker is not None:
                over.tracker.settle(over.seqs)
        return batch.slice(0, room)

    def _bypass(self, batch: Batch) -> None:
        self.counters.bypassed += len(batch)
        self.counters.emitted += len(batch)
        send(batch, self.targets[0], self.counters)

    def _judged(self, emission: Emission, batch: Batch) -> Emission:
        """Faults that are the node's own may switch it off, and may let their messages pass unchanged, in order."""
        own = [fault for fault in emission.faults if fault.error.kind in NODE_FAULTS]
        for fault in own:
            if not isinstance(fault.error, GuestTrap):  # those were counted when it was restarted
                self._limits.failed(fault.error)
        if not own or not self._limits.bypass_faults:
            return emission
        for fault in own:
            self._faults.count(fault.error, len(fault.rows))
            self.counters.bypassed += len(fault.rows)
        parts = [part for part in (*emission.ports[:1], *(fault.rows for fault in own)) if part is not None]
        out = join(parts)
        place = {seq: at for at, seq in enumerate(batch.seqs)}
        in_order = out.take(sorted(range(len(out)), key=lambda row: place[out.seqs[row]]))
        rest = [fault for fault in emission.faults if fault.error.kind not in NODE_FAULTS]
        return replace(emission, ports=(in_order,), faults=rest)

    def _process(self, batch: Batch, work: Work) -> Emission:
        """`work` is what the operator is to do with the batch."""
        try:
            return process_recovering(partial(self._call, work=work), batch, self._revive, self._on_error.crashes)
        except Stopped:
            raise
        except Exception as error:  # as above
            log.exception("node %s of %s failed", self.name, self.graph)
            return _bug(batch, error)

    def _retry(self, emission: Emission, work: Work) -> Emission:
        """Try the faulted rows again, in place, so that order within a topic is kept."""
        pause = self._on_error.backoff
        for _ in range(self._on_error.retries):
            if not emission.faults:
                break
            self._pause(pause)
            pause *= 2
            self.counters.retries += sum(len(fault.rows) for fault in emission.faults)
            again = [self._process(fault.rows, work) for fault in emission.faults]
            emission = merged([replace(emission, faults=()), *again])
        return emission

    def _hand_on(self, emission: Emission, batch: Batch) -> None:
        tracker = batch.tracker
        if tracker is not None:
            if emission.forked:
                tracker.fork(emission.forked)
            if emission.filtered:
                tracker.settle(emission.filtered)
        self.counters.filtered += len(emission.filtered)
        if emission.faults:
            self._hand_over(emission.faults)
        for out, targets in zip(emission.ports, self.targets, strict=False):
            if out is not None:
                self.counters.emitted += len(out)
                if self.bounds_outputs:
                    out.largest = min(out.largest, self._message_max)
                send(out, targets, self.counters)

    def _hand_over(self, faults: Sequence[Fault]) -> None:
        """Faults to where `onError` says: all by one write, or, past the node's share, a few at a time."""
        at_once = FAULTS_AT_ONCE if self._limits.behind else len(faults)
        for start in range(0, len(faults), at_once):
            self._faults.handle(*faults[start : start + at_once])
            if start + at_once < len(faults):
                self._limits.breathe()

    def _without_oversized(self, batch: Batch) -> Batch:
        fits = [len(payload) <= self._message_max for payload in batch.payloads]
        faults = []
        for row, ok in enumerate(fits):
            if not ok:
                size = len(batch.payloads[row])
                words = f"payload of {size} bytes is larger than resources.message ({size} > {self._message_max})"
                faults.append(Fault(batch.slice(row, row + 1), NodeFault("size", words)))
        self._faults.handle(*faults)
        return batch.select(fits)

    def _call(self, batch: Batch, work: Work | None = None) -> Emission:
        """The operator on a batch, restarted first if it is dead. Raises a fault while the node is switched off."""
        if self._dead is not None:
            if not self.counters.disabled:
                self._restart(self._dead)
            if self._dead is not None:
                raise self._limits.off_fault()
        emission = self.operator.process(batch) if work is None else work(batch)
        self._backoff.worked()  # a message that traps among good ones must not slow them down
        return emission

    def _revive(self, fault: NodeFault, alone: bool) -> None:  # noqa: FBT001 - as `process_recovering` calls it
        """The operator trapped, on a message `alone` or on a batch. Raises `Stopped` at the end."""
        self._dead = fault
        if not (alone and self._limits.failed(fault)):
            self._restart(fault)

    def _restart(self, fault: NodeFault) -> None:
        """Put a fresh instance in place, as often as it takes, waiting longer each time, unless that switches the node
        off. Raises `Stopped` at the end."""
        while True:
            pause = self._backoff.next(self._limits.clock())
            self._pause(min(pause, self._restart_seconds * RESTARTS_PER_PAUSE))
            self.counters.restarts += 1
            started = monotonic()
            try:
                self.operator.restart()
                self._restart_seconds = monotonic() - started
            except NodeFault as again:
                self._restart_seconds = RESTART_PAUSE_MAX
                self._faults.count(again)
                self._dead = fault = again
                if self._limits.failed(again):
                    return
                continue
            self._dead = None
            self._emit(NodeRestarted(self.graph, self.name, self.counters.restarts, str(fault)))
            return

    def _pause(self, seconds: float) -> None:
        if seconds and self._stopping.wait(seconds):
            raise Stopped


def _bug(batch: Batch, error: Exception) -> Emission:
    fault = NodeFault("internal", f"{type(error).__name__}: {error}")
    return Emission((), faults=(Fault(batch, fault),))


def send(batch: Batch, targets: Sequence[Target], counters: NodeCounters) -> None:
    """Give a batch to every target; each copy counts at the tracker."""
    if not targets:
        counters.drop("unconnected", len(batch))
        if batch.tracker is not None:
            batch.tracker.settle(batch.seqs)
        return
    if batch.tracker is not None:
        for _ in range(len(targets) - 1):
            batch.tracker.fork(batch.seqs)
    for target in targets:
        target(batch)
