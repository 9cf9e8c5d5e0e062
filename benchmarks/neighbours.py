"""What a hostile node under its declared quota does to a healthy graph in the same runtime: ratios within one run.

The healthy graph is fed at half of what it can do alone. Beside the hostile one it must keep 90 % of that rate, and its
99th percentile of latency may at most double. Turns are taken: alone, beside, alone …; the median of the ratios counts.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import wasmtime

from benchmarks.inprocess import Endless, planned
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings

ROUNDS = 3
RATE, LATENCY = 0.9, 2.0
HEALTHY = """\
metadata: {name: healthy, version: '1'}
endpoints: [{name: e, mqtt: {host: 127.0.0.1}}]
operations:
  - {operationType: source, name: in, endpoint: e, topics: [t]}
  - {operationType: map, name: work, module: bench-parse}
  - {operationType: sink, name: out, endpoint: e, topic: o}
connections:
  - {from: {name: in}, to: {name: work}}
  - {from: {name: work}, to: {name: out}}
"""
ABI = """(memory (export "memory") 4) (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 131072)
  (func (export "flowrt_filter") (param i32 i32) (result i32)"""
HOSTILE = {
    "endless loop": (f"{ABI} (loop $l (br $l)) unreachable)", "cpu: 250m, deadline: 1s"),
    "memory": (f"{ABI} (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable)",
               "cpu: 250m, memory: 64Mi"),
    "traps": (f"{ABI} unreachable)", "cpu: 250m"),
}  # fmt: skip
PAYLOAD = b'{"v":[' + b",".join(b"%d.5" % n for n in range(16)) + b"]}"


def compare(seconds: float) -> bool:
    """Print a row for each kind of hostility; whether the neighbour kept its rate and latency in all."""
    seconds = min(seconds, 5.0)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        capacity, _ = _measure(path, None, seconds, rate=None)
        print(f"neighbour, fed at half of {capacity:,.0f} messages/s\n{'beside':<14}{'rate':>7}{'p99':>7}")
        held = True
        for kind in HOSTILE:
            rates, delays = [], []
            for _ in range(ROUNDS):
                alone = _measure(path, None, seconds, capacity / 2)
                beside = _measure(path, kind, seconds, capacity / 2)
                rates.append(beside[0] / alone[0])
                delays.append(beside[1] / alone[1])
            good = median(rates) >= RATE and median(delays) <= LATENCY
            held &= good
            print(f"{kind:<14}{median(rates):7.3f}{median(delays):7.2f}{'' if good else '  not held'}", flush=True)
    return held


def _measure(path: Path, hostile: str | None, seconds: float, rate: float | None) -> tuple[float, float]:
    """Messages a second through the healthy graph, and the 99th percentile of their latency in seconds."""
    healthy, other = Endless([PAYLOAD] * 16, rate), Endless([PAYLOAD] * 16)
    plans = [planned(path, HEALTHY, "healthy.yaml")]
    if hostile is not None:
        text, resources = HOSTILE[hostile]
        (path / "hostile.wasm").write_bytes(wasmtime.wat2wasm(f"(module {text})"))
        graph = HEALTHY.replace("name: healthy", "name: hostile").replace(
            "operationType: map, name: work, module: bench-parse",
            f"operationType: filter, name: work, module: hostile.wasm, onError: {{policy: drop}}, "
            f"resources: {{{resources}}}",
        )
        plans.append(planned(path, graph, "hostile.yaml"))
    ends = {"healthy": healthy, "hostile": other}
    around = Surroundings(lambda _: None, path / "state", open_endpoints=lambda graph, *_, **__: ends[graph])
    runtime = Runtime(plans, around)
    runtime.start()
    time.sleep(0.5)
    sink = healthy.sinks["out"]
    sink.delays.clear()
    before, began = sink.received, time.monotonic()
    time.sleep(seconds)
    got, took = sink.received - before, time.monotonic() - began
    delays = list(sink.delays)
    runtime.stop(0.5)
    return got / took, quantiles(delays, n=100)[98] if len(delays) > 1 else float("inf")
