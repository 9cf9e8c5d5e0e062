"""What quotas cost a message in a node, in batches of 64: microseconds of its thread's processor time, the quickest of
several rounds, in one run.

A batch comes counted from a source, whose metric of bytes needs its length with quotas and without, and from a guest,
whose results are read with their lengths. From another node it comes uncounted, and the inbox has to see to it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import unbounded
from flowrt.counters import NodeCounters
from flowrt.delivery.deadletters import DeadLetters
from flowrt.message import UNKNOWN, Batch
from flowrt.operators.base import Emission, OnError
from flowrt.quota.resources import Resources
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.limits import Limits
from flowrt.runtime.node import Node
from flowrt.runtime.onerror import FaultHandler
from flowrt.testing import batch_of

ROWS, TIMES, ROUNDS = 64, 500, 40
MOST = 0.1
KINDS: dict[str, dict[str, Any]] = {
    "none": {},
    "defaults": {},
    "a share": {"cpu": "32"},
    "all of them": {"cpu": "32", "message_rate": 1e9, "byte_rate": "900G", "disable": {}},
}


def compare() -> bool:
    """Print a row for each set of quotas; whether all together add at most 0.1 µs to a node without any."""
    batch = batch_of([bytes(100)] * ROWS)
    nodes = {kind: _node(**resources) for kind, resources in KINDS.items()}
    nodes["none"]._meter = _NoMeter()  # type: ignore[assignment]
    inbox = Inbox(4096, 2**25)
    ways: dict[str, tuple[Callable[[Batch], None], Callable[[Batch], None]]] = {
        kind: (inbox.put, node.accept) for kind, node in nodes.items()
    }
    ways["none"] = partial(unbounded.put, inbox), partial(unbounded.accept, nodes["none"])
    sizes = {"counted": 100 * ROWS, "uncounted": -1}
    best = {(kind, how): float("inf") for kind in KINDS for how in sizes}
    for _ in range(ROUNDS):
        for (kind, how), before in best.items():
            best[kind, how] = min(before, _took(batch, sizes[how], inbox, *ways[kind]))
    print(f"quotas, µs a message in an empty node and its inbox\n{'':<12}{'counted':>10}{'uncounted':>11}")
    for kind in KINDS:
        print(f"{kind:<12}{best[kind, 'counted']:10.3f}{best[kind, 'uncounted']:11.3f}")
    added = [best["all of them", how] - best["none", how] for how in sizes]
    print(f"{'all add':<12}{added[0]:10.3f}{added[1]:11.3f}   at most {MOST}")
    return max(added) <= MOST


def _took(
    batch: Batch, size: int, inbox: Inbox, put: Callable[[Batch], None], accept: Callable[[Batch], None]
) -> float:
    """Microseconds a message for a batch whose bytes are known, or are not where `size` is negative."""
    began = time.thread_time()
    for _ in range(TIMES):
        batch.largest, batch.size = UNKNOWN, size
        put(batch)
        accept((inbox.take(ROWS) or [batch])[0])
    return (time.thread_time() - began) / TIMES / ROWS * 1e6


class _NoMeter:
    def resume(self) -> None:
        pass

    def tally(self, _wall: float, _now: float) -> None:
        pass


class _Empty:
    def process(self, batch: Batch) -> Emission:
        return Emission((batch,))

    def restart(self) -> None:
        pass

    def memory_bytes(self) -> int:
        return 0

    def close(self) -> None:
        pass


def _node(**resources: Any) -> Node:
    counters, stopping, on_error = NodeCounters(), threading.Event(), OnError()
    limits = Limits("g", "n", Resources(**resources), counters, stopping, lambda _: None)
    letters: Any = DeadLetters
    faults = FaultHandler("g", "n", on_error, counters, letters, stopping, lambda _: None)
    node = Node(
        "g", "n", _Empty(), faults, counters, on_error=on_error, limits=limits, stopping=stopping, emit=lambda _: None
    )
    node.targets = [[lambda _: None]]
    return node
