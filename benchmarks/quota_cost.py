"""What quotas cost a message in a node, in batches of 64: microseconds of its thread's processor time, the quickest of
several rounds, in one run."""

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
    best = dict.fromkeys(KINDS, float("inf"))
    for _ in range(ROUNDS):
        for kind, (put, accept) in ways.items():
            began = time.thread_time()
            for _ in range(TIMES):
                put(batch)
                accept((inbox.take(ROWS) or [batch])[0])
                batch.largest, batch.size = UNKNOWN, -1
            best[kind] = min(best[kind], (time.thread_time() - began) / TIMES / ROWS * 1e6)
    print("quotas, µs a message in an empty node and its inbox")
    for kind, took in best.items():
        print(f"{kind:<12}{took:8.3f}")
    return best["all of them"] - best["none"] <= MOST


class _NoMeter:
    def begin(self) -> None:
        pass

    def count(self) -> None:
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
