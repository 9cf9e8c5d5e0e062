"""A guest that never comes back, in a graph that ends: the call is ended, and its message stays with its source."""

from __future__ import annotations

import threading

import pytest
from wasm_guests import batch, map_once, wasm

from benchmarks.inprocess import Endless, running
from flowrt.counters import NodeCounters
from flowrt.endpoints.base import Stopped
from flowrt.quota.meter import Meter

SPIN = map_once("(loop $again (br $again)) unreachable")


def test_a_call_is_ended_when_its_graph_has_waited_for_it(guest):
    stopped = threading.Event()
    made = guest(wasm(SPIN), deadline="1h", meter=Meter(NodeCounters(), stopped=stopped.is_set))
    ended: list[str] = []

    def call() -> None:
        try:
            made.map(batch(b"a"))
        except Stopped:
            ended.append("stopped")

    thread = threading.Thread(target=call)
    thread.start()
    while thread.is_alive():
        stopped.set()
        made._crossing._watch._interrupt()  # as `RunningGraph.stop` does; the call may not have begun
        thread.join(0.05)
    assert ended == ["stopped"]


@pytest.mark.parametrize("share", ["", "cpu: 250m, "])
def test_a_graph_that_ends_leaves_no_thread_at_work(tmp_path, share):
    (tmp_path / "spin.wasm").write_bytes(wasm(SPIN))
    graph = f"""
      metadata: {{name: g, version: '1'}}
      endpoints: [{{name: e, mqtt: {{host: 127.0.0.1}}}}]
      operations:
        - {{operationType: source, name: in, endpoint: e, topics: [t]}}
        - {{operationType: map, name: spin, module: spin.wasm, resources: {{{share}deadline: 1h}}}}
        - {{operationType: sink, name: out, endpoint: e, topic: o}}
      connections:
        - {{from: {{name: in}}, to: {{name: spin}}}}
        - {{from: {{name: spin}}, to: {{name: out}}}}
    """
    with running(tmp_path, graph, Endless([b"a"])) as runtime:
        stages = runtime.graphs[0].stages
        node = runtime.graphs[0].nodes["spin"]
        while not node.counters.received:
            threading.Event().wait(0.01)

    assert all(stage.ended() for stage in stages)
