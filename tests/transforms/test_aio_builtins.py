"""AIO's built-in transforms named as modules: they run as flowrt's own, with their configuration where AIO has it."""

import pytest

from flowrt.graph.artifacts import ARTIFACTS, kind_of_artifact, operation_of
from flowrt.graph.reading import read
from flowrt.graph.tree import Entry, Mapping, Mark, Scalar, plain

HEAD = """\
metadata: {name: g, version: 1.0.0}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
operations:
  - {operationType: source, name: in}
  - {operationType: sink, name: out}
"""
BRANCH = '{"branch": {"inputs": ["t"], "expression": "$1 > 5"}}'
MAP = '{"map": [{"inputs": ["t"], "output": "f", "expression": "cToF($1)"}]}'


def configured(name, **values):
    """AIO's `moduleConfigurations` of one operation."""
    parameters = "".join(f"      {key}: {{name: {key}, default: '{value}'}}\n" for key, value in values.items())
    return f"  - name: {name}\n    parameters:\n{parameters}"


def problems(text, **sets):
    """Code, line below the head, column and words of each."""
    first = HEAD.count("\n")
    found = read((HEAD + text).encode(), "g.yaml", sets, {}).problems
    return [(problem.code, problem.line - first, problem.column, problem.message) for problem in found]


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        ("azureiotoperations/graph-dataflow-map:1.0.0", "map"),
        ("mcr.microsoft.com/azureiotoperations/graph-dataflow-window:1.1.0", "window"),
        ("graph-dataflow-filter:1.0.0", "filter"),
        ("graph-dataflow-", ""),
        ("my-graph-dataflow-map:1.0.0", None),
        ("temperature:1.0.0", None),
        (None, None),
    ],
)
def test_a_name_says_which_built_in_it_is(module, kind):
    assert kind_of_artifact(module) == kind


def test_a_graph_of_built_ins_runs(bench):
    operations = """\
  - {operationType: branch, name: hot, module: "azureiotoperations/graph-dataflow-branch:1.0.0"}
  - {operationType: map, name: shape, module: "azureiotoperations/graph-dataflow-map:1.0.0"}
  - {operationType: filter, name: drop, module: "azureiotoperations/graph-dataflow-filter:1.0.0"}
  - {operationType: concatenate, name: all, module: "azureiotoperations/graph-dataflow-concatenate:1.0.0"}
  - {operationType: transform, name: slow, module: "azureiotoperations/graph-dataflow-throttle:1.0.0"}
"""
    connections = [
        "{from: {name: in}, to: {name: hot}}",
        "{from: {name: hot.output.true}, to: {name: shape}}",
        "{from: {name: hot.output.false}, to: {name: drop}}",
        "{from: {name: shape}, to: {name: all}}",
        "{from: {name: drop}, to: {name: all}}",
        "{from: {name: all}, to: {name: slow}}",
        "{from: {name: slow}, to: {name: out}}",
    ]
    more = (
        "moduleConfigurations:\n"
        + configured("hot", rules=BRANCH)
        + configured("shape", rules=MAP)
        + configured("drop", rules='{"filter": [{"inputs": ["t"], "expression": "$1 < 0"}]}')
        + configured("slow", throttle='{"perTopicThrottles": [{"topic": "other/#", "maxMessagesPerSecond": 1}]}')
    )
    messages, _ = bench.run(operations, connections, [b'{"t": 100}', b'{"t": 1}', b'{"t": -1}'], more=more)
    assert sorted(message.payload for message in messages) == [b'{"f":212.0}', b'{"t": 1}']


def test_set_gives_a_configuration_as_aio_s_graph_settings_do():
    text = "  - {operationType: map, name: shape, module: graph-dataflow-map:1.0.0}\n" + (
        "moduleConfigurations:\n  - {name: shape, parameters: {rules: {name: rules, required: true}}}\n"
    )
    for key in ("rules", "shape.rules"):
        graph = read((HEAD + text).encode(), "g.yaml", {key: MAP}, {}).graph
        assert graph.file.operations[-1].settings().rules.map[0].output == "f"


@pytest.mark.parametrize(
    ("operation", "configuration", "code", "line", "column", "words"),
    [
        ("map, name: a, module: graph-dataflow-map:2.0.0", {"rules": MAP}, "bad-builtin", 1, 46,
         "operation 'a': graph-dataflow-map has version '2.0.0'; known are 1.0.0"),
        ("map, name: a, module: graph-dataflow-map", {"rules": MAP}, "bad-builtin", 1, 46,
         "operation 'a': graph-dataflow-map has no version; known are 1.0.0"),
        ("map, name: a, module: graph-dataflow-windw:1.0.0", {}, "bad-builtin", 1, 46,
         "operation 'a': AIO has no built-in transform 'graph-dataflow-windw'; did you mean 'window'?"),
        ("filter, name: a, module: graph-dataflow-map:1.0.0", {"rules": MAP}, "bad-builtin", 1, 21,
         "operation 'a': graph-dataflow-map is no filter; write operationType: map or transform"),
        ("map, name: a, module: graph-dataflow-map:1.0.0", {"rules": MAP, "rule": "x"}, "bad-builtin", 6, 13,
         "operation 'a': graph-dataflow-map takes no configuration 'rule'; did you mean 'rules'?"),
        ("accumulate, name: a, module: graph-dataflow-window:1.0.0", {"count": "{}"}, "bad-builtin", 5, 14,
         "operation 'a': graph-dataflow-window:1.0.0 takes no 'count' yet; use version 1.1.0"),
    ],
)  # fmt: skip
def test_a_built_in_that_is_named_wrongly(operation, configuration, code, line, column, words):
    text = f"  - {{operationType: {operation}}}\nmoduleConfigurations:\n{configured('a', **configuration)}"
    if not configuration:
        text = text.partition("moduleConfigurations")[0]
    found = problems(text)
    assert found[0][:2] == (code, line)
    assert found[0][3] == words


def test_rules_of_another_kind_than_the_name_says(bench):
    operations = "  - {operationType: map, name: a, module: graph-dataflow-map:1.0.0}\n"
    connections = ["{from: {name: in}, to: {name: a}}", "{from: {name: a}, to: {name: out}}"]
    _, found = bench.load(operations, connections, "moduleConfigurations:\n" + configured("a", rules=BRANCH))
    assert "'graph-dataflow-map:1.0.0' is a map, and the configuration given is of branch; it takes rules" in str(found)
    _, found = bench.load(operations, connections)
    assert "'graph-dataflow-map:1.0.0' is a map, and the configuration given is of none; it takes rules" in str(found)


def test_a_mistake_in_rules_is_found_where_the_configuration_stands():
    text = "  - {operationType: map, name: a, module: graph-dataflow-map:1.0.0}\nmoduleConfigurations:\n"
    rules = '{"map": [{"inputs": ["t"], "output": "f", "expression": "$1 and 2"}]}'
    from flowrt.graph.checks import transforms

    graph = read((HEAD + text + configured("a", rules=rules)).encode(), "g.yaml", {}, {}).graph
    (problem,) = transforms.check(graph)
    line = (HEAD + text + configured("a", rules=rules)).splitlines()[problem.line - 1]
    assert line[problem.column - 1 :].startswith("and 2")


def test_an_arm_s_long_name_gives_way_to_an_operation_of_that_name():
    text = """\
  - {operationType: branch, name: hot, module: graph-dataflow-branch:1.0.0}
  - {operationType: map, name: hot.output.true, module: other}
connections:
  - {from: {name: hot.output.true}, to: {name: out}}
  - {from: {name: hot.output.false}, to: {name: out}}
  - {from: {name: cold.output.false}, to: {name: out}}
"""
    graph = read((HEAD + text).encode(), "g.yaml", {}, {}).graph
    assert [(each.from_.name, each.from_.arm) for each in graph.file.connections] == [
        ("hot.output.true", None),
        ("hot", "False"),
        ("cold.output.false", None),
    ]


def test_graph_settings_become_an_operation():
    """What a DataflowGraph's node says, for whoever reads such a manifest."""
    mark = Mark(3, 5)
    node = Mapping(mark, {"name": Entry(mark, Scalar(mark, "shape", "shape"))})
    artifact = Scalar(mark, "azureiotoperations/graph-dataflow-map:1.0.0", "…")
    made = operation_of(node, artifact, {"rules": Scalar(mark, MAP, MAP)})
    assert plain(made) == {
        "operationType": "transform",
        "module": "azureiotoperations/graph-dataflow-map:1.0.0",
        "name": "shape",
        "rules": MAP,
    }


def test_every_documented_configuration_key_is_an_option_of_the_operation():
    from flowrt.operators.transform import CONFIGURATIONS

    assert {key for artifact in ARTIFACTS.values() for key in artifact.keys} <= set(CONFIGURATIONS)
