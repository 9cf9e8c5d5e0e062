"""Graphs of one test, checked, planned and run to the end of their sources."""

import pytest

from flowrt.cli import loading
from flowrt.delivery.deadletters import DeadLetters
from flowrt.graph.load import load
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings
from flowrt.testing import FakeEndpoints

HEAD = """\
metadata: {name: g, version: 1.0.0}
endpoints: [{name: plant, mqtt: {host: 127.0.0.1}}]
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}
  - {operationType: sink, name: out, endpoint: plant, topic: out}
"""


class Bench:
    """Graphs of one test, run to the end of their sources."""

    def __init__(self, path):
        self.path = path

    def load(self, operations, connections=(), more="", head=HEAD):
        """The plan of a graph, or None, and its problems."""
        graph = self.path / "graph.yaml"
        lines = "".join(f"  - {line}\n" for line in connections)
        graph.write_text(head + operations + f"connections:{'' if lines else ' []'}\n{lines}{more}")
        return load(
            graph,
            sets={},
            environ={},
            bindings={},
            modules_dirs=[],
            inspect_module=loading._inspect_module,
            inspect_model=loading._inspect_model,
            machine=loading.this_machine(),
        )

    def run(self, operations, connections, payloads, topic="plant/pump", fill=lambda states: None, more=""):
        """The messages that came out, and the graph that ran."""
        plan, problems = self.load(operations, connections, more)
        assert problems == []
        ends = self.ends = FakeEndpoints([payloads], topic=topic)
        around = Surroundings(lambda event: None, self.path / "state", open_endpoints=ends.open)
        fill(around)
        runtime = Runtime([plan], around)
        runtime.start()
        assert runtime.graphs[0].finished.wait(20)
        runtime.stop(10.0)
        assert ends.sources["in"].acknowledged == len(payloads)
        return ends.sinks["out"].messages, runtime.graphs[0]

    def dead(self):
        letters = DeadLetters(self.path / "state" / "dead-letters.sqlite")
        try:
            return [(letter.node, letter.kind, letter.message.payload) for letter in letters.list()]
        finally:
            letters.close()


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)
