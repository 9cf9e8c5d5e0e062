"""What a process of its own costs a node, beside a thread: microseconds a batch, both in one run."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.inprocess import Endless, planned
from flowrt.message import Batch, Head
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings

TIMES = 300
GRAPH = """\
metadata: {name: g, version: '1'}
endpoints: [{name: e, mqtt: {host: 127.0.0.1}}]
operations:
  - {operationType: source, name: in, endpoint: e, topics: [t]}
  - {operationType: map, name: thread, module: passthrough}
  - {operationType: map, name: process, module: passthrough, resources: {isolation: process}}
  - {operationType: sink, name: out, endpoint: e, topic: o}
connections:
  - {from: {name: in}, to: {name: thread}}
  - {from: {name: thread}, to: {name: process}}
  - {from: {name: process}, to: {name: out}}
"""


def compare() -> bool:
    """Print a row for each size of batch; always true."""
    print(f"isolation, µs a batch (median of {TIMES})\n{'messages':>9}{'bytes':>9}{'thread':>9}{'process':>9}")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        around = Surroundings(lambda _: None, path / "state", open_endpoints=Endless([b""]).open)
        runtime = Runtime([planned(path, GRAPH)], around)
        nodes = runtime.graphs[0].nodes
        head = Head("t")
        for count, size in ((1, 100), (64, 100), (256, 100), (1, 600_000)):
            batch = Batch([head] * count, [bytes(size)] * count, range(count), [0.0] * count, range(count))
            took: dict[str, list[float]] = {"thread": [], "process": []}
            for _ in range(TIMES):
                for kind, times in took.items():
                    began = time.perf_counter()
                    nodes[kind].operator.process(batch)
                    times.append(time.perf_counter() - began)
            thread, process = (median(times) * 1e6 for times in took.values())
            print(f"{count:9}{size:9}{thread:9.0f}{process:9.0f}", flush=True)
        runtime.stop(1.0)
    return True
