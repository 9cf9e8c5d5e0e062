"""A node at work: the operator, with everything around it that its author does not write.

Counting, charging the quota, recovering from faults, sending faulted rows where `onError` says, forking and settling at
the tracker, and handing the results on. All of it once a batch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic, thread_time

from flowrt.counters import NodeCounters
from flowrt.endpoints.base import Stopped
from flowrt.errors import NodeFault
from flowrt.events import Emit, NodeRestarted
from flowrt.message import Batch
from flowrt.operators.base import Emission, Fault, OnError, Operator
from flowrt.quota.backoff import Backoff
from flowrt.quota.bucket import Bucket
from flowrt.runtime.onerror import FaultHandler
from flowrt.runtime.recovery import merged, process_recovering

Target = Callable[[Batch], None]
"""Takes a batch on: a node of the same stage, or the inbox of another."""

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
        message_max: int,
        cpu: float | None,
        stopping: threading.Event,
        emit: Emit,
    ) -> None:
        self.graph = graph
        self.name = name
        self.operator = operator
        self.counters = counters
        self.targets: Sequence[Sequence[Target]] = ()
        """For each port, who takes what comes out of it. Set once while the graph is built."""
        self._faults = faults
        self._on_error = on_error
        self._message_max = message_max
        self._bucket = Bucket(cpu, monotonic()) if cpu else None
        self._backoff = Backoff()
        self._stopping = stopping
        self._emit = emit

    def accept(self, batch: Batch) -> None:
        """Take a batch through the operator and hand on what comes out."""
        counters = self.counters
        counters.received += len(batch)
        if max(map(len, batch.payloads)) > self._message_max:
            batch = self._without_oversized(batch)
            if not len(batch):
                return
        started, cpu = monotonic(), thread_time()
        emission = self._process(batch)
        if emission.faults and self._on_error.policy == "retry":
            emission = self._retry(emission)
        now, used = monotonic(), thread_time() - cpu
        counters.batches += 1
        counters.cpu_seconds += used
        counters.processing.observe(now - started)
        if self._bucket is not None:
            self._throttle(self._bucket.charge(now, used))
        self._hand_on(emission, batch)

    def _process(self, batch: Batch) -> Emission:
        try:
            return process_recovering(self.operator, batch, self._revive)
        except Stopped:
            raise
        except Exception as error:  # the node boundary: a fault of ours must not take the graph down
            log.exception("node %s of %s failed", self.name, self.graph)
            fault = NodeFault("internal", f"{type(error).__name__}: {error}")
            return Emission((), faults=(Fault(batch, fault),))

    def _retry(self, emission: Emission) -> Emission:
        """Try the faulted rows again, in place, so that order within a topic is kept."""
        pause = self._on_error.backoff
        for _ in range(self._on_error.retries):
            if not emission.faults:
                break
            self._pause(pause)
            pause *= 2
            self.counters.retries += sum(len(fault.rows) for fault in emission.faults)
            again = [self._process(fault.rows) for fault in emission.faults]
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
        for fault in emission.faults:
            self._faults.handle(fault)
        for out, targets in zip(emission.ports, self.targets, strict=False):
            if out is not None:
                self.counters.emitted += len(out)
                send(out, targets, self.counters)

    def _without_oversized(self, batch: Batch) -> Batch:
        fits = [len(payload) <= self._message_max for payload in batch.payloads]
        for row, ok in enumerate(fits):
            if not ok:
                size = len(batch.payloads[row])
                words = f"payload of {size} bytes is larger than resources.message ({size} > {self._message_max})"
                self._faults.handle(Fault(batch.slice(row, row + 1), NodeFault("size", words)))
        return batch.select(fits)

    def _revive(self, fault: NodeFault) -> None:
        """Restart the operator, as often as it takes, waiting longer each time. Raises `Stopped` at the end."""
        while True:
            self._pause(self._backoff.next(monotonic()))
            self.counters.restarts += 1
            try:
                self.operator.restart()
            except NodeFault as again:
                self._faults.count(again)
                fault = again
                continue
            self._emit(NodeRestarted(self.graph, self.name, self.counters.restarts, str(fault)))
            return

    def _throttle(self, seconds: float) -> None:
        if seconds > 0:
            self.counters.throttled_seconds += seconds
            self._stopping.wait(seconds)

    def _pause(self, seconds: float) -> None:
        if seconds and self._stopping.wait(seconds):
            raise Stopped


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
