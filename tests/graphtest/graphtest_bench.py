"""A graph without modules, and its tests as text."""

from __future__ import annotations

from flowrt.cli import loading
from flowrt.cli.main import main
from flowrt.graphtest.running import Bench, listed, run_one

GRAPH = """\
metadata: {name: g, version: 1.0.0}
endpoints: [{name: plant, mqtt: {host: 127.0.0.1}}]
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/+]}
  - operationType: transform
    name: warm
    branch: {inputs: [t], expression: $1 > 20}
  - operationType: transform
    name: double
    map: [{inputs: [t], output: t, expression: $1 * 2}]
  - {operationType: sink, name: hot, endpoint: plant, topic: "hot/{topic[1]}"}
  - {operationType: sink, name: cold, endpoint: plant, topic: cold}
connections:
  - {from: {name: in}, to: {name: warm}}
  - {from: {name: warm, arm: "True"}, to: {name: double}}
  - {from: {name: double}, to: {name: hot}}
  - {from: {name: warm, arm: "False"}, to: {name: cold}}
"""


class Tests:
    """Test files in a folder beside the graph."""

    __test__ = False

    def __init__(self, folder):
        self.folder = folder
        (folder / "g.yaml").write_text(GRAPH)

    def write(self, text, name="g.test.yaml"):
        path = self.folder / name
        path.write_text(text)
        return path

    def results(self, text):
        """Of one test file; its problems are a failure of the caller's."""
        asked, problems = listed(self.write(text))
        assert problems == []
        bench = Bench((), {}, {}, loading._inspect_module, loading._inspect_model)
        return [run_one(each, bench) for each in asked]

    def wrong(self, case):
        """What is wrong with one case, given without its name."""
        (result,) = self.results(f"graph: g.yaml\ncases:\n  - name: one\n{case}")
        return result.wrong

    def command(self, *arguments):
        return main(["test", *map(str, arguments)])
