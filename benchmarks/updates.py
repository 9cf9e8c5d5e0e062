"""Updates under load: what they cost the messages that pass meanwhile, what a bad one costs, what a kill leaves.

`python -m benchmarks.updates` measures all of it; `--swaps 3 --bad 1 --kills 3` is the short form.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import wasmtime
from onnx import TensorProto, helper

from benchmarks.broker import PORT, Broker
from benchmarks.numbered import MISSED_SECONDS, Load
from benchmarks.processes import BenchError, Process
from flowrt.updates.control import ask
from flowrt.updates.lifecycle import ENDS

KINDS = ("pass", "more", "whole")
"""Modules that do the same, one a kind of exchange that brings any."""
MEMORY_VERSIONS = 8
"""Among which the exchanges alternate over which memory is compared."""
SETTLING = 80
"""Exchanges after which memory no longer grows: arenas of allocators (the interpreter's take 1 MiB at a time), tables
of heads."""
SHOWN = 40
KILLED_RATE = 200
"""Messages a second while it is killed: enough to prove a version between two kills."""
KILL_SECONDS = 1.0
"""Within which it is killed: as long as an update takes."""
PAUSE_MAX = 0.001
P99_MAX = 2.0
"""What an exchange may cost. Told, not judged: on a busy machine other things stand still as well."""
PASS = Path(__file__).parents[1] / "modules/passthrough/passthrough.wasm"
POLICY = "{shadow: 16, shadowTime: 5s, probation: 200ms, messages: 50, bounds: {latency: 1000}}"
WATCHFUL = "{shadow: 0, probation: 60s, messages: 100000, bounds: {drift: 0, latency: LATENCY}}"
"""Only the slow module is judged by its time: on a busy machine the others might be slow as well."""
GRAPH = """\
metadata: {{name: bench, version: '{version}'}}
moduleRequirements: {{apiVersion: "1.1.0", runtimeVersion: "1.1.0"}}
endpoints: [{{name: plant, mqtt: {{host: 127.0.0.1, port: {port}, clientId: updates}}}}]
operations:
  - {{operationType: source, name: in, endpoint: plant, topics: ["in/+"]}}
{nodes}  - {{operationType: sink, name: out, endpoint: plant, topic: "out/{{topic[1]}}"}}
connections:
{edges}updates: {policy}
"""
Node = tuple[str, str]
"""A name, and what the operation is."""


def graph(port: int, version: int, nodes: list[Node], policy: str = POLICY) -> str:
    names = ["in", *(name for name, _ in nodes), "out"]
    lines = "".join(f"  - {{name: {name}, {text}}}\n" for name, text in nodes)
    edges = "".join(f"  - {{from: {{name: {a}}}, to: {{name: {b}}}}}\n" for a, b in itertools.pairwise(names))
    return GRAPH.format(version=version, port=port, nodes=lines, edges=edges, policy=policy)


def module(name: str) -> str:
    return f"operationType: map, module: {name}"


def model(name: str) -> str:
    return f"operationType: inference, model: {{path: {name}.onnx}}"


class Gateway:
    """A runtime with a graph of two nodes, and the files of its versions."""

    def __init__(self, folder: Path, port: int, versions: int) -> None:
        """`versions`: of its module and its model, as many."""
        self.folder, self.port, self.state = folder, port, folder / "state"
        self.version = 0
        code = PASS.read_bytes()
        for version in range(versions):
            for kind in KINDS:
                # A custom section: other bytes, to be compiled anew, and the same work.
                (folder / f"{kind}-{version}.wasm").write_bytes(
                    code + b"\0\x05\x01" + kind[:1].encode() + version.to_bytes(3, "big")
                )
            onnx.save(_identity(version), folder / f"same-{version}.onnx")
        for name, wat in BAD.items():
            (folder / f"{name}.wasm").write_bytes(wasmtime.wat2wasm(wat))
        self.file = folder / "graph.yaml"
        self.file.write_text(graph(port, 0, [("m", module("pass-0")), ("d", model("same-0"))]))
        command = [sys.executable, "-m", "flowrt.cli.main", "run", str(self.file), "--modules", str(folder)]
        command += ["--state", str(self.state), "--metrics", "127.0.0.1:0"]
        # What was compiled in an earlier run would not be compiled in this one.
        self.process = Process("flowrt", command, {"XDG_CACHE_HOME": str(folder.parent)})

    def apply(self, nodes: list[Node], policy: str = POLICY) -> dict[str, Any]:
        """The last answer, and how long it took until the new version carried all traffic."""
        self.version += 1
        text = graph(self.port, self.version, nodes, policy)
        request = {"do": "apply", "path": str(self.file), "text": text, "again": True}
        last: dict[str, Any] = {}
        for last in ask(self.state, request):
            if "problem" in last:
                raise SystemExit(last["problem"])
        return last

    def resident(self) -> int:
        """Bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else 0


BAD = {
    "traps": '(module (memory (export "memory") 4)'
    ' (func (export "flowrt_abi") (result i32) i32.const 1)'
    ' (func (export "flowrt_buffer") (param i32) (result i32) i32.const 131072)'
    ' (func (export "flowrt_map") (param i32 i32) (result i32) unreachable))',
}
_COPYING = """(module (memory (export "memory") 4)
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 131072)
  (global $seen (mut i32) (i32.const 0))
  (func $each (param $at i32) (local $n i32) EACH)
  (func (export "flowrt_map") (param $in i32) (param $count i32) (result i32) (local $i i32) (local $to i32)
    (loop $next (if (i32.lt_u (local.get $i) (local.get $count)) (then
      (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
      (call $each (i32.load offset=8 (local.get $in)))
      (local.set $to (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 16))))
      (i32.store (local.get $to) (local.get $i))
      (i32.store offset=4 (local.get $to) (i32.load offset=8 (local.get $in)))
      (i32.store offset=8 (local.get $to) (i32.load offset=12 (local.get $in)))
      (i32.store offset=12 (local.get $to) (i32.const 0))
      (local.set $in (i32.add (local.get $in) (i32.const 24)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next))))
    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (local.get $count)) (i32.const 0)))"""
BAD["slow"] = _COPYING.replace(
    "EACH",
    "(local.set $n (i32.const 10000000)) (loop $more "
    "(local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $more (local.get $n)))",
)
BAD["wrong"] = _COPYING.replace(
    "EACH",
    "(if (i32.eqz (i32.rem_u (global.get $seen) (i32.const 10))) "
    "(then (i32.store8 offset=31 (local.get $at) (i32.const 1))))",
)
BAD["greedy"] = _COPYING.replace("EACH", "(drop (memory.grow (i32.const 4)))")
EXPECTED = {"traps": "traps", "slow": "latency", "wrong": "drift", "greedy": "memory"}


def _identity(version: int) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", 4]) for name in "xy"]
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], f"same-{version}", ends[:1], ends[1:])
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def swapping() -> dict[str, Callable[[int], list[Node]]]:
    """By what is exchanged, the nodes of each turn. Each turn's are new: compiled, loaded and warmed in it."""
    return {
        "module": lambda turn: [("m", module(f"pass-{turn}")), ("d", model("same-0"))],
        "model": lambda turn: [("m", module("pass-0")), ("d", model(f"same-{turn}"))],
        "connection": lambda turn: [
            ("m", module("pass-0")), *([("k", module(f"more-{turn}"))] if turn % 2 else []), ("d", model("same-0")),
        ],
        "whole graph": lambda turn: [
            (f"m{turn}", module(f"whole-{turn}")), (f"d{turn}", model(f"same-{turn}")),
        ],
    }  # fmt: skip


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def swaps(gateway: Gateway, count: int, only: str = "") -> bool:
    """Exchange each kind of thing so often under load; whether all bounds were held."""
    good = True
    print("   exchanged times  lost twice order  pause p95  p99 during  outside, ms")
    for kind, nodes in swapping().items():
        if only and kind != only:
            continue
        load = Load()
        gateway.apply(nodes(0))  # under load too: a version is proven by messages
        time.sleep(1.0)
        pauses, during = [], []
        for turn in range(1, count + 1):
            began = time.monotonic()
            answer = gateway.apply(nodes(turn))
            during.append((began, time.monotonic()))
            good &= answer.get("outcome") == "proven"
            if answer.get("outcome") != "proven":
                print(answer)
            pauses += answer.get("pauses", [])
            time.sleep(0.3)
        lost, doubled, disordered = load.end()
        inside = [took for at, took in load.latencies if any(a <= at <= b for a, b in during)]
        outside = [took for at, took in load.latencies if not any(a <= at <= b for a, b in during)]
        pause, p99, rest = percentile(pauses, 0.95), percentile(inside, 0.99), percentile(outside, 0.99)
        print(
            f"{kind:12}{count:6}{lost:6}{doubled:6}{disordered:6}{pause * 1e3:11.2f}{p99 * 1e3:12.1f}{rest * 1e3:9.1f}",
            flush=True,
        )
        good &= lost == 0 and doubled == 0 and disordered == 0
        if pause > PAUSE_MAX or p99 > P99_MAX * rest:
            print(f"{kind}: slower than the bound, a pause of {PAUSE_MAX * 1e3:g} ms and {P99_MAX:g} times the p99")
    return good


def memory(gateway: Gateway, count: int) -> bool:
    """Resident memory over so many exchanges, after as many to warm up as it takes to settle."""
    nodes = swapping()["module"]
    load = Load()
    for turn in range(SETTLING):
        gateway.apply(nodes(turn % MEMORY_VERSIONS), POLICY.replace("200ms", "0"))
    before = gateway.resident()
    seen = []
    for turn in range(1, count + 1):
        gateway.apply(nodes(turn % MEMORY_VERSIONS), POLICY.replace("200ms", "0"))
        if turn % SHOWN == 0:
            seen.append(f"{(gateway.resident() - before) / 1e6:+.2f}")
    growth = gateway.resident() - before
    load.end()
    print(f"memory after {count} exchanges: {growth / 1e6:+.2f} MB (each {SHOWN}: {', '.join(seen)})", flush=True)
    return growth < 1_000_000


def bad(gateway: Gateway, count: int) -> bool:
    """Bad modules, so often each; whether each was rolled back for its own reason and no message was lost."""
    good = True
    for name, reason in EXPECTED.items():
        load = Load()
        gateway.apply([("m", module("pass-0")), ("d", model("same-0"))])
        time.sleep(0.5)
        took = []
        policy = WATCHFUL.replace("LATENCY", "3" if name == "slow" else "1000")
        for _ in range(count):
            began = time.monotonic()
            answer = gateway.apply([("m", module(name)), ("d", model("same-0"))], policy)
            took.append(time.monotonic() - began)
            right = answer.get("outcome") == "rolledBack" and str(answer.get("reason")).startswith(reason)
            good &= right
            if not right:
                print(f"{name}: {answer}")
            time.sleep(0.3)
        lost, doubled, _disordered = load.end()
        print(
            f"{name:>8}: rolled back {count} times within {max(took):.2f} s; lost {lost}, twice {doubled}",
            flush=True,
        )
        good &= lost == 0
    return good


def kills(folder: Path, port: int, count: int, seed: int) -> bool:
    """Kill the runtime at random moments of an update, one that was asked for or one that an earlier kill has cut and
    that the start takes up again; whether each start after it ran a proven version, and no message was lost."""
    dice, failed, tried = random.Random(seed), 0, {"asked for": 0, "taken up": 0}
    gateway = Gateway(folder, port, 2)
    proven: set[str] = {"pass-0", "pass-1"}
    gateway.process.start()
    gateway.process.wait_line("ready")
    load = Load(KILLED_RATE)
    for turn in range(count):
        taken_up = _under_way(gateway.state)
        tried["taken up" if taken_up else "asked for"] += 1
        if not taken_up:
            text = graph(port, turn + 1, [("m", module(f"pass-{(turn + 1) % 2}")), ("d", model("same-0"))])
            request = {"do": "apply", "path": str(gateway.file), "text": text, "again": True}
            threading.Thread(target=_ask, args=(gateway.state, request), daemon=True).start()
        time.sleep(dice.uniform(0.0, KILL_SECONDS))
        gateway.process.kill()
        gateway.process.start()
        try:
            gateway.process.wait_line("ready")
            runs = next(ask(gateway.state, {"do": "status"}))["graphs"][0]
            failed += not set(runs["runs"]["modules"]) <= proven
        except Exception as error:  # noqa: BLE001 - counted, and shown
            failed += 1
            print(f"kill {turn}: {error}")
    lost, doubled, disordered = load.end(MISSED_SECONDS)
    gateway.process.kill()
    print(
        f"killed {count} times in the midst of an update ({', '.join(f'{n} {word}' for word, n in tried.items())}): "
        f"{failed} starts failed; lost {lost}, twice {doubled}, out of order {disordered}",
        flush=True,
    )
    return failed == 0 and lost == 0


def _under_way(state: Path) -> bool:
    update = next(ask(state, {"do": "status"}))["graphs"][0]["update"]
    return update is not None and update not in ENDS


def _ask(state: Path, request: dict[str, Any]) -> None:
    try:
        for _ in ask(state, request):
            pass
    except Exception:  # noqa: BLE001 - it is killed in the midst of it
        pass


def measure(options: argparse.Namespace) -> bool:
    good = True
    with tempfile.TemporaryDirectory() as name, Broker():
        first, second = Path(name) / "a", Path(name) / "b"
        for folder in (first, second):
            folder.mkdir()
        gateway = Gateway(first, PORT, max(options.swaps + 1, MEMORY_VERSIONS))
        with gateway.process:
            gateway.process.wait_line("ready")
            if options.swaps:
                good &= swaps(gateway, options.swaps, options.only)
            if options.memory:
                good &= memory(gateway, options.memory)
            if options.bad:
                good &= bad(gateway, options.bad)
        if options.kills:
            good &= kills(second, PORT, options.kills, options.seed)
    return good


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.updates", description=__doc__)
    parser.add_argument("--swaps", type=int, default=50, help="of each kind (default 50)")
    parser.add_argument("--only", default="", choices=["", *swapping()], help="of the kinds, this one")
    parser.add_argument("--memory", type=int, default=200, help="exchanges over which memory is compared (default 200)")
    parser.add_argument("--bad", type=int, default=5, help="of each bad module (default 5)")
    parser.add_argument("--kills", type=int, default=200, help="moments (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default 1)")
    parser.add_argument("--rate", type=int, default=2000, help="messages a second (default 2000)")
    options = parser.parse_args(arguments)
    Load.rate = options.rate
    try:
        return 0 if measure(options) else 1
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
