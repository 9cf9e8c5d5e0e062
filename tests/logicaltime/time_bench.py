"""Runs graphs from YAML with guests of the test's own, and keeps their state folder from run to run."""

from __future__ import annotations

from itertools import pairwise
from time import monotonic, sleep

from flowrt.cli import loading
from flowrt.delivery.deadletters import DeadLetters
from flowrt.graph.load import load
from flowrt.problem import has_errors
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings
from flowrt.testing import FakeEndpoints, ListSource

HEAD = """\
metadata: {name: g, version: 1.0.0}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
endpoints: [{name: plant, mqtt: {host: 127.0.0.1}}]
"""
SOURCE = "{operationType: source, name: in, endpoint: plant, topics: [a/#]}"
SINK = "{operationType: sink, name: out, endpoint: plant, topic: out}"


def chain(*operations: str) -> str:
    """A graph of one source, these operations in a row, one sink."""
    names = ["in", *(operation.split("name: ")[1].split(",")[0].strip("} ") for operation in operations), "out"]
    lines = ["operations:", *(f"  - {each}" for each in (SOURCE, *operations, SINK)), "connections:"]
    lines += [f"  - {{from: {{name: {a}}}, to: {{name: {b}}}}}" for a, b in pairwise(names)]
    return "\n".join(lines) + "\n"


class WaitingSource(ListSource):
    """Can be waited for."""

    def wait_for(self, acknowledged: int, timeout: float = 10.0) -> None:
        until = monotonic() + timeout
        while self.acknowledged < acknowledged:
            assert monotonic() < until, f"{self.acknowledged} of {acknowledged} were acknowledged"
            sleep(0.005)


class Ends(FakeEndpoints):
    """Sources, and every sink. `batches` are those of each source, or by its name."""

    def __init__(self, batches, *, ends: bool = True, **options) -> None:
        super().__init__(batches, **options)
        self._ends = ends

    def open(self, _graph, _options, **_):
        return self

    def source_of(self, operation):
        batches = self._batches.get(operation.name, []) if isinstance(self._batches, dict) else self._batches
        return self.sources.setdefault(operation.name, WaitingSource(batches, topic=self._topic, ends=self._ends))

    @property
    def sink(self):
        return self.sinks["out"]

    def payloads(self):
        return [message.payload for message in self.sink.messages]


class _Opened:
    def __init__(self, ends: Ends) -> None:
        self.source = ends.source_of
        self.sink = FakeEndpoints.sink.__get__(ends)


class TimeBench:
    """Graphs of one test."""

    def __init__(self, path) -> None:
        self.path = path
        self.events: list[object] = []
        self.options: dict[str, object] = {}
        """Of `Surroundings`."""

    def module(self, name: str, code: bytes) -> None:
        (self.path / f"{name}.wasm").write_bytes(code)

    def load(self, text: str):
        path = self.path / "graph.yaml"
        path.write_text(HEAD + text)
        plan, problems = load(
            path, sets={}, environ={}, bindings={}, modules_dirs=[self.path],
            inspect_module=loading._inspect_module, inspect_model=loading._inspect_model,
            machine=loading.this_machine(),
        )  # fmt: skip
        assert not has_errors(problems), "\n".join(map(str, problems))
        return plan

    def start(self, text: str, batches, **options):
        plan = self.load(text)
        ends = Ends(batches, **options)
        around = Surroundings(
            self.events.append, self.path / "state", open_endpoints=lambda *_, **__: _Opened(ends), **self.options
        )
        runtime = Runtime([plan], around)
        runtime.start()
        if "in" in ends.sources:
            ends.__dict__["source"] = ends.sources["in"]
        return ends, runtime

    def run(self, text: str, batches, drain: float = 10.0, **options):
        ends, runtime = self.start(text, batches, **options)
        graph = runtime.graphs[0]
        assert graph.finished.wait(20)
        until = monotonic() + drain
        while not graph.done() and monotonic() < until:
            sleep(0.005)
        runtime.stop(drain)
        return ends, graph

    def dead(self):
        letters = DeadLetters(self.path / "state" / "dead-letters.sqlite")
        try:
            return [(letter.node, letter.kind, letter.message.payload) for letter in letters.list()]
        finally:
            letters.close()
