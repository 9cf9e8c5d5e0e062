"""Whether shares of the processor hold, and what a node at its share does to others: `python -m benchmarks.quotas`.

Each row runs nodes with a declared `cpu` and more work than it allows, and reads the kernel's clock of the node's own
thread from outside: what it used, as a part of what it may. Exit status 1 when a share is exceeded by more than 5 %, or
missed by more than 5 % while the machine had a fifth of a core to spare.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import wasmtime

from benchmarks import isolation, neighbours, quota_cost
from benchmarks.inprocess import Endless, running

ROOT = Path(__file__).parents[1]
SHARES = ("100m", "250m", "500m", "1000m")
WITHIN = 0.05
SPARE = 0.2
"""Cores that must have been idle for a share to be due: below, others had the machine."""
ABI = """
  (memory (export "memory") 16)
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 131072)"""
SPIN = f"""(module {ABI}
  (func (export "flowrt_filter") (param i32 i32) (result i32) (local $n i32)
    (loop $again (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000))))
    (i32.const 8)))"""
"""A filter that counts to a million and lets nothing through: a guest that is called often."""
ENDLESS = f"""(module {ABI}
  (func (export "flowrt_filter") (param i32 i32) (result i32) (loop $again (br $again)) unreachable))"""
NODES = {
    "spin": "{{operationType: filter, name: {name}, module: spin.wasm, resources: {{cpu: {cpu}}}}}",
    "endless": "{{operationType: filter, name: {name}, module: endless.wasm, resources: {{cpu: {cpu}, deadline: 1h}}}}",
    "inference": "{{operationType: inference, name: {name}, model: {{path: net.onnx}}, resources: {{cpu: {cpu}}}}}",
}
"""What keeps a node busy, and the operation."""


def graph(nodes: Sequence[tuple[str, str]]) -> str:
    """A graph of busy nodes side by side, each with its kind and share."""
    lines = ["metadata: {name: g, version: '1'}", "endpoints: [{name: e, mqtt: {host: 127.0.0.1}}]", "operations:"]
    edges = ["connections:"]
    for n, (kind, cpu) in enumerate(nodes):
        lines += [
            f"  - {{operationType: source, name: in{n}, endpoint: e, topics: [t]}}",
            "  - " + NODES[kind].format(name=f"n{n}", cpu=cpu),
            f"  - {{operationType: sink, name: out{n}, endpoint: e, topic: o}}",
        ]
        edges += [
            f"  - {{from: {{name: in{n}}}, to: {{name: n{n}}}}}",
            f"  - {{from: {{name: n{n}}}, to: {{name: out{n}}}}}",
        ]
    return "\n".join([*lines, *edges])


def heavy_model() -> bytes:
    """64 rows take it milliseconds."""
    rng = np.random.default_rng(1)
    float32 = onnx.TensorProto.FLOAT
    weights = [onnx.numpy_helper.from_array(rng.random((512, 512), np.float32), f"w{n}") for n in range(4)]
    wide = onnx.numpy_helper.from_array(rng.random((16, 512), np.float32), "w")
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["y0"])]
    nodes += [onnx.helper.make_node("MatMul", [f"y{n}", f"w{n}"], [f"y{n + 1}"]) for n in range(4)]
    ends = [onnx.helper.make_tensor_value_info(name, float32, ["n", size]) for name, size in (("x", 16), ("y4", 512))]
    graph = onnx.helper.make_graph(nodes, "heavy", ends[:1], ends[1:], [wide, *weights])
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


@contextmanager
def folder() -> Iterator[Path]:
    """The modules and the model, for graphs to name."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / "spin.wasm").write_bytes(wasmtime.wat2wasm(SPIN))
        (path / "endless.wasm").write_bytes(wasmtime.wat2wasm(ENDLESS))
        (path / "net.onnx").write_bytes(heavy_model())
        yield path


def idle() -> float:
    """Seconds that cores have had nothing to do, since the machine's start."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def used(nodes: Sequence[tuple[str, str]], seconds: float) -> tuple[list[float], float]:
    """Cores each node's thread used on average, by the kernel's clock; and cores that were free meanwhile."""
    with folder() as path, running(path, graph(nodes), Endless([bytes(64)] * 64)):
        time.sleep(1.0)
        names = [f"g/n{n}" for n in range(len(nodes))]
        threads = {thread.name: thread.ident or 0 for thread in threading.enumerate()}
        clocks = [time.pthread_getcpuclockid(threads[name]) for name in names]
        began, free, before = time.monotonic(), idle(), [time.clock_gettime(clock) for clock in clocks]
        time.sleep(seconds)
        after, ended = [time.clock_gettime(clock) for clock in clocks], time.monotonic()
        free = idle() - free
    took = ended - began
    return [(b - a) / took for a, b in zip(before, after, strict=True)], free / took


def shares(seconds: float) -> bool:
    """Print a row for each kind and share; whether all held."""
    rows = [(kind,) for kind in NODES]
    cases = [[(kind, cpu)] for (kind,) in rows for cpu in SHARES]
    cases += [
        [("endless", "500m"), ("endless", "250m")],
        [("spin", "250m"), ("endless", "250m"), ("inference", "500m")],
    ]
    print(f"share used over {seconds:g} s\n{'node':<12}{'share':>8}{'used':>8}{'of it':>8}{'free':>8}")
    held = True
    for nodes in cases:
        every, free = used(nodes, seconds)
        for (kind, cpu), cores in zip(nodes, every, strict=True):
            part = cores / (int(cpu[:-1]) / 1000)
            good = part <= 1 + WITHIN and (part >= 1 - WITHIN or free < SPARE)
            held &= good
            said = "" if good else "  not held"
            print(f"{kind:<12}{cpu:>8}{cores:8.3f}{part:8.3f}{free:8.2f}{said}", flush=True)
        if len(nodes) > 1:
            print("  (these together)")
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="for each row (default 30)")
    parser.add_argument("--only", choices=("shares", "neighbours", "isolation", "cost"))
    options = parser.parse_args()
    held = True
    if options.only in (None, "shares"):
        held &= shares(options.seconds)
    if options.only in (None, "neighbours"):
        held &= neighbours.compare(options.seconds)
    if options.only in (None, "isolation"):
        held &= isolation.compare()
    if options.only in (None, "cost"):
        held &= quota_cost.compare()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
