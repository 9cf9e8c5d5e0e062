"""A graph between a source that a test feeds and sinks that it looks into, and guests that tell themselves apart."""

from __future__ import annotations

import itertools
import queue
import threading
from pathlib import Path

from wasm_guests import map_once, wasm

from flowrt.cli import loading
from flowrt.graph.difference import difference, is_source
from flowrt.graph.load import load
from flowrt.problem import has_errors
from flowrt.runtime.build import build_beside
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings
from flowrt.runtime.swap import swap
from flowrt.testing import FakeEndpoints
from flowrt.updates.update import Update

MODULES = Path(__file__).parents[2] / "modules"
HEAD = """\
metadata: {name: g, version: 1.0.0}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
endpoints: [{name: plant, mqtt: {host: 127.0.0.1}}]
"""


def marking(letter, before=""):
    """A module that writes a letter over the first byte of each payload. `before` runs for each message; $at is its
    payload."""
    return wasm(
        map_once(
            """(local $i i32) (local $at i32)
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $count)) (then
        (local.set $at (i32.load offset=8 (local.get $in)))
        """
            + before
            + f"(i32.store8 (local.get $at) (i32.const {ord(letter)}))"
            + """
        (call $out (local.get $i) (local.get $i)
          (local.get $at) (i32.load offset=12 (local.get $in)) (i32.const 0))
        (local.set $in (i32.add (local.get $in) (i32.const 24)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))
    (call $result (local.get $count))"""
        )
    )


SPIN = """(local.set $n (i32.const 400000))
  (loop $spin (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $spin (local.get $n)))"""
TRAP_ON_X = "(if (i32.eq (i32.load8_u (i32.add (local.get $at) (i32.const 1))) (i32.const 120)) (then unreachable))"
"""For messages whose second byte is an x."""


def counting(first="0", accepts=4):
    """A module with state: it makes of each message its number, behind a letter."""
    return wasm(counting_text(first, accepts))


def counting_text(first, accepts=4):
    return f"""
  (global $n (mut i32) (i32.const 0))
  (func (export "flowrt_save") (result i32)
    (i32.store (i32.const 16) (global.get $n))
    (i32.store (i32.const 8) (i32.const 16)) (i32.store (i32.const 12) (i32.const 4)) (i32.const 8))
  (func (export "flowrt_restore") (param $at i32) (param $size i32) (result i32)
    (global.set $n (i32.load (local.get $at)))
    (i32.ne (local.get $size) (i32.const {accepts})))""" + map_once(
        f"""(local $i i32) (local $to i32)
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $count)) (then
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (local.set $to (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 8))))
        (i32.store8 (local.get $to) (i32.const {ord(first)}))
        (i32.store offset=1 (local.get $to) (global.get $n))
        (call $out (local.get $i) (local.get $i) (local.get $to) (i32.const 5) (i32.const 0))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))
    (call $result (local.get $count))"""
    )


class Feed:
    """Batches that a test puts in while the graph runs."""

    def __init__(self):
        self._queue = queue.SimpleQueue()

    def __call__(self, *batches):
        for batch in batches:
            self._queue.put(batch)

    def end(self):
        self._queue.put(None)

    def __iter__(self):
        return iter(self._queue.get, None)


def chain(*operations, more=""):
    """`in`, the operations one after the other, `out`."""
    names = ["in", *(name for name, _ in operations), "out"]
    maps = "".join(f"  - {{operationType: map, name: {name}, {rest}}}\n" for name, rest in operations)
    edges = "".join(f"  - {{from: {{name: {a}}}, to: {{name: {b}}}}}\n" for a, b in itertools.pairwise(names))
    return (
        f"operations:\n  - {{operationType: source, name: in, endpoint: plant, topics: [a/#]}}\n{maps}"
        f"  - {{operationType: sink, name: out, endpoint: plant, topic: out}}\nconnections:\n{edges}{more}"
    )


class Bench:
    drain = 5.0

    def __init__(self, folder):
        self.folder = folder
        self.events = []
        self.feed = Feed()
        self.runtime = None

    def module(self, name, code):
        (self.folder / f"{name}.wasm").write_bytes(code)

    def plan(self, text, head=HEAD):
        path = self.folder / "graph.yaml"
        path.write_text(head + text)
        plan, problems = load(
            path,
            sets={},
            environ={},
            bindings={},
            modules_dirs=[self.folder, MODULES],
            inspect_module=loading._inspect_module,
            inspect_model=loading._inspect_model,
            machine=loading.this_machine(),
        )
        assert not has_errors(problems), "\n".join(map(str, problems))
        return plan

    def start(self, text, **options):
        self.ends = FakeEndpoints(self.feed, **options)
        around = Surroundings(self.events.append, self.folder / "state", open_endpoints=self.ends.open)
        self.runtime = Runtime([self.plan(text)], around)
        self.runtime.start()
        return self.runtime.graphs[0]

    def swap(self, text, timeout=5.0):
        graph = self.runtime.graphs[0]
        plan = self.plan(text)
        what = difference(graph.plan, plan)
        made = build_beside(graph, plan, what.made, self.runtime.surroundings)
        kept = {name: part for name, part in graph.parts.items() if name in plan.nodes}
        parts = {name: {**kept, **made}[name] for name, node in plan.nodes.items() if not is_source(node)}
        return swap(graph, plan, parts, what, timeout)

    def update(self, text, recorded):
        """How an update with what was `recorded` ends, and why."""
        given = {"emit": self.events.append, "moved": lambda *_: None, "ending": threading.Event()}
        return Update(self.runtime, self.runtime.graphs[0], self.plan(text), recorded=recorded, **given).run()

    def out(self, count, sink="out"):
        return [message.payload for message in self.ends.sinks[sink].wait_for(count)]

    def close(self):
        if self.runtime is not None:
            self.feed.end()
            self.runtime.stop(self.drain)
