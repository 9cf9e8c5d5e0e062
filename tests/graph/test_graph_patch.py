"""Quotas are written into a graph's text where they belong, and nothing else of it changes."""

import pytest

from flowrt.graph.load import read_graph
from flowrt.graph.patch import difference, with_resources

WANTED = {"a": {"cpu": "50m", "memory": "4Mi"}}


def patched(tmp_path, operation):
    text = f"# a comment\nmetadata: {{name: g}}\noperations:\n{operation}\n"
    path = tmp_path / "g.yaml"
    path.write_text(text)
    graph, _ = read_graph(path, sets={}, environ={})
    after = with_resources(graph, text, WANTED)
    path.write_text(after)
    again, _ = read_graph(path, sets={}, environ={})
    resources = again.file.operations[0].resources
    assert (resources.cpu, resources.memory) == (0.05, 4 * 2**20)
    return "".join(line[1:] + "\n" for line in difference(text, after, "g").splitlines()[2:] if line.startswith("+"))


@pytest.mark.parametrize(
    ("operation", "new"),
    [
        ("  - operationType: map\n    name: a\n    module: m",
         "    resources: {cpu: 50m, memory: 4Mi}\n"),
        ("  - name: a\n    operationType: map\n    module: m",
         "    resources: {cpu: 50m, memory: 4Mi}\n"),
        ("  - {operationType: map, name: a, module: m}  # short",
         "  - {operationType: map, name: a, resources: {cpu: 50m, memory: 4Mi}, module: m}  # short\n"),
        ('  - {operationType: map, module: m, name: "a"}',
         '  - {operationType: map, module: m, name: "a", resources: {cpu: 50m, memory: 4Mi}}\n'),
        ("  - operationType: map\n    name: a\n    module: m\n    resources: {memory: 16Mi, deadline: 20ms}",
         "    resources: {cpu: 50m, memory: 4Mi, deadline: 20ms}\n"),
        ("  - operationType: map\n    name: a\n    module: m\n    resources:\n      memory: 1M  # old\n      inbox: 9",
         "      cpu: 50m\n      memory: 4Mi  # old\n"),
        ('  - operationType: map\n    name: a\n    module: m\n    resources: {cpu: "1", memory: 1Gi}',
         "    resources: {cpu: 50m, memory: 4Mi}\n"),
    ],
    ids=["block", "name first", "flow", "flow, name last", "flow resources", "block resources", "both there"],
)  # fmt: skip
def test_resources_are_written_in_the_style_of_the_file(tmp_path, operation, new):
    assert patched(tmp_path, operation) == new
