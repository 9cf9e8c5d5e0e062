"""Two graphs in one runtime: one with a hostile node, and a healthy one beside it that must not notice."""

from pathlib import Path

from flowrt.cli import loading
from flowrt.delivery.deadletters import DeadLetters
from flowrt.graph.load import load
from flowrt.metrics import Metrics
from flowrt.problem import has_errors
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings
from flowrt.testing import FakeEndpoints

MODULES = Path(__file__).parents[2] / "modules"

GRAPH = """\
metadata: {{name: {name}, version: 1.0.0}}
moduleRequirements: {{apiVersion: "1.1.0", runtimeVersion: "1.1.0", features: [{{name: wasi-nn}}]}}
endpoints: [{{name: plant, mqtt: {{host: 127.0.0.1}}}}]
operations:
  - {{operationType: source, name: in, endpoint: plant, topics: [a/#]}}
  - {{operationType: map, name: node, module: passthrough}}
  - {{operationType: sink, name: out, endpoint: plant, topic: out}}
connections:
  - {{from: {{name: in}}, to: {{name: node}}}}
  - {{from: {{name: node}}, to: {{name: out}}}}
"""
HEALTHY = [[b"%d" % (i * 20 + j) for j in range(20)] for i in range(200)]
"""4000 messages for the healthy graph."""
SENT = [[b"x%d" % j for j in range(4)]] * 3
"""What the hostile node is given."""


class Bench:
    """Runs a hostile graph and a healthy one to the end of their sources."""

    def __init__(self, path):
        self.path = path
        self.events = []
        self.ends = {}
        self.runtime = None

    def load(self, name, text):
        """The plan of a text, if it is sound, and what is wrong with it."""
        path = self.path / f"{name}.yaml"
        path.write_text(text)
        return load(
            path, sets={}, environ={}, bindings={}, modules_dirs=[self.path, MODULES],
            inspect_module=loading._inspect_module, inspect_model=loading._inspect_model,
            machine=loading.this_machine(),
        )  # fmt: skip

    def plan(self, name, text):
        plan, problems = self.load(name, text)
        assert not has_errors(problems), "\n".join(map(str, problems))
        return plan

    def open(self, graph, options, **more):
        return self.ends[graph].open(graph, options, **more)

    def build(self, operation, *, sent=SENT, extra="", whole=True):
        """`operation` replaces the hostile graph's `node`."""
        hostile = GRAPH.format(name="hostile").replace(
            "{operationType: map, name: node, module: passthrough}", operation
        )
        self.hostile = hostile + extra
        plans = [self.plan("hostile", self.hostile), self.plan("healthy", GRAPH.format(name="healthy"))]
        self.ends = {"hostile": FakeEndpoints(sent), "healthy": FakeEndpoints(HEALTHY)}
        around = Surroundings(self.events.append, self.path / "state", open_endpoints=self.open)
        self.runtime = Runtime(plans, around, whole=whole)

    def run(self, operation, **options):
        """Run both, check that the healthy one lost nothing, and give the hostile graph's node."""
        self.build(operation, **options)
        self.runtime.start()
        for graph in self.runtime.graphs:
            assert graph.finished.wait(300), graph.name
        hostile, healthy = self.runtime.graphs
        self.metrics = Metrics(lambda: self.runtime.views)
        self.runtime.stop(300.0)
        assert not self.runtime.broken()
        out = self.ends["healthy"].sinks["out"].messages
        assert [message.payload for message in out] == [payload for batch in HEALTHY for payload in batch]
        assert self.ends["healthy"].sources["in"].acknowledged == 4000
        counters = healthy.nodes["node"].counters
        assert (counters.faults, counters.restarts, counters.dropped) == ({}, 0, {})
        assert [
            event for event in self.events if getattr(event, "graph", "") == "healthy" and event.level == "error"
        ] == []
        return hostile.nodes["node"]

    def named(self, kind):
        """How many faults events name the culprit for."""
        return sum(
            event.count
            for event in self.events
            if (getattr(event, "graph", ""), getattr(event, "node", "")) == ("hostile", "node")
            and getattr(event, "kind", "") == kind
        )

    def dead(self):
        letters = DeadLetters(self.path / "state" / "dead-letters.sqlite")
        try:
            return [(letter.graph, letter.node, letter.kind) for letter in letters.list()]
        finally:
            letters.close()

    def close(self):
        if self.runtime is not None:
            self.runtime.stop(0.0)
