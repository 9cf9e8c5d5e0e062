"""Plans: orders, stages, ports."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree as ET

from graph_cases import SOUND, found, model, planned, spoilt
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.graph.draw import to_mermaid, to_svg


def stages(text: str, **facts: object) -> list[tuple[str, ...]]:
    return [stage.nodes for stage in planned(text, **facts).stages]


def chain(*operations: str) -> str:
    """A graph of the operations, each as the inside of a YAML mapping, connected one after the other."""
    names = [f"n{index}" for index in range(len(operations))]
    lines = ["metadata: {name: chain}", "operations:"]
    lines += [f"  - {{name: {name}, {text}}}" for name, text in zip(names, operations, strict=True)]
    lines += ["connections:"]
    lines += [f"  - {{from: {{name: {a}}}, to: {{name: {b}}}}}" for a, b in pairwise(names)]
    return "\n".join(lines)


SOURCE, SINK, MAP = "operationType: source", "operationType: sink", "operationType: map, module: m"
BUSY = "operationType: map, module: m, resources: {cpu: 100m}"
MODEL = "operationType: inference, model: {path: m.onnx}"


def test_a_chain_of_cheap_operations_is_one_stage() -> None:
    assert stages(chain(SOURCE, MAP, MAP, SINK)) == [("n1", "n2", "n3")]


def test_a_stage_is_no_longer_than_calls_can_be_nested() -> None:
    assert [len(names) for names in stages(chain(SOURCE, *[MAP] * 100, SINK))] == [64, 37]


def test_a_node_with_a_share_of_its_own_has_a_stage_of_its_own() -> None:
    assert stages(chain(SOURCE, MAP, BUSY, MAP, SINK)) == [("n1",), ("n2",), ("n3", "n4")]


def test_a_node_that_keeps_something_and_tries_again_holds_up_nobody_elses_stage() -> None:
    retrying = f"{MAP}, keepState: disk, onError: {{policy: retry}}"
    assert stages(chain(SOURCE, MAP, retrying, MAP, SINK)) == [("n1",), ("n2",), ("n3", "n4")]
    assert stages(chain(SOURCE, MAP, f"{MAP}, onError: {{policy: retry}}", SINK)) == [("n1", "n2", "n3")]


def test_a_heavy_model_has_a_stage_of_its_own_and_a_light_one_has_not() -> None:
    text = chain(SOURCE, MAP, MODEL, SINK)
    assert stages(text, models={"m.onnx": model(parameter_bytes=2**20)}) == [("n1",), ("n2",), ("n3",)]
    assert stages(text, models={"m.onnx": model(parameter_bytes=2**10)}) == [("n1", "n2", "n3")]


def test_a_model_that_waits_for_its_batch_has_a_stage_of_its_own() -> None:
    text = chain(SOURCE, MAP, f"{MODEL}, batch: {{max: 8, wait: 2ms}}", SINK)
    plan = planned(text, models={"m.onnx": model(parameter_bytes=2**10)})
    assert [(stage.nodes, stage.batch, stage.wait) for stage in plan.stages] == [
        (("n1",), 256, 0.0),
        (("n2",), 8, 0.002),
        (("n3",), 256, 0.0),
    ]


def test_a_stage_waits_in_its_first_nodes_inbox() -> None:
    (stage,) = planned(chain(SOURCE, f"{MAP}, resources: {{inbox: 7, inboxMemory: 1Mi}}", SINK)).stages
    assert (stage.inbox, stage.inbox_bytes) == (7, 2**20)


BRANCHES = """\
metadata: {name: two arms}
operations:
  - {operationType: source, name: in}
  - {operationType: branch, name: hot, module: m}
  - {operationType: map, name: yes_, module: m RESOURCES}
  - {operationType: concatenate, name: both}
  - {operationType: sink, name: out}
connections:
  - {from: {name: in}, to: {name: hot}}
  - {from: {name: hot, arm: "True"}, to: {name: yes_}}
  - {from: {name: hot, arm: "False"}, to: {name: both}}
  - {from: {name: yes_}, to: {name: both}}
  - {from: {name: both}, to: {name: out}}
"""


def test_arms_that_meet_in_one_stage_stay_in_it() -> None:
    assert stages(BRANCHES.replace(" RESOURCES", "")) == [("hot", "yes_", "both", "out")]


def test_arms_that_meet_from_two_stages_begin_a_third() -> None:
    text = BRANCHES.replace(" RESOURCES", ", resources: {cpu: 1}")
    assert stages(text) == [("hot",), ("yes_",), ("both", "out")]


def test_a_branch_has_two_ports_false_first() -> None:
    nodes = planned(BRANCHES.replace(" RESOURCES", "")).nodes
    assert nodes["hot"].targets == (("both",), ("yes_",))
    assert (nodes["in"].stage, nodes["in"].targets, nodes["out"].targets) == (-1, (("hot",),), ())


def test_the_plan_names_the_graph_and_its_endpoints() -> None:
    plan = planned(SOUND)
    assert (plan.name, plan.version, plan.path, list(plan.endpoints)) == ("pump", "1.2.0", "g.yaml", ["plant"])
    assert [use.name for use in plan.nodes["detector"].models] == ["detector"]


@st.composite
def graphs(draw: st.DrawFn) -> str:
    """A random graph that has no cycle, its operations listed in random order."""
    inner = draw(st.integers(1, 9))
    kinds = draw(
        st.lists(st.sampled_from([MAP, BUSY, MODEL, "operationType: concatenate"]), min_size=inner, max_size=inner)
    )
    texts = [SOURCE, *kinds, SINK]
    edges = set()
    for end in range(1, len(texts)):
        starts = st.sets(st.integers(0, min(end, len(texts) - 1) - 1), min_size=1, max_size=3)
        edges |= {(start, end) for start in draw(starts)}
    fed = {start for start, _ in edges}
    edges |= {(start, len(texts) - 1) for start in range(len(texts) - 1) if start not in fed}
    order = draw(st.permutations(range(len(texts))))
    lines = [
        "metadata: {name: random}",
        "operations:",
        *(f"  - {{name: n{i}, {texts[i]}}}" for i in order),
        "connections:",
    ]
    lines += [f"  - {{from: {{name: n{a}}}, to: {{name: n{b}}}}}" for a, b in draw(st.permutations(sorted(edges)))]
    return "\n".join(lines)


@settings(max_examples=150, deadline=None)
@given(graphs(), st.sampled_from([2**10, 2**20]))
def test_plans_of_random_graphs_are_valid_orders(text: str, weights: int) -> None:
    plan = planned(text, models={"m.onnx": model(parameter_bytes=weights)})
    place = {name: index for index, name in enumerate(plan.nodes)}
    arrows = [(name, target) for name, node in plan.nodes.items() for port in node.targets for target in port]
    assert all(place[start] < place[end] for start, end in arrows)
    assert sorted(name for stage in plan.stages for name in stage.nodes) == sorted(
        name for name, node in plan.nodes.items() if node.stage >= 0
    )
    for index, stage in enumerate(plan.stages):
        assert all(plan.nodes[name].stage == index for name in stage.nodes)
        inside = [(stage.nodes.index(a), stage.nodes.index(b)) for a, b in arrows if {a, b} <= set(stage.nodes)]
        assert all(start < end for start, end in inside)
        fed = {end for start, end in arrows if end in stage.nodes and start not in stage.nodes}
        assert fed <= {stage.nodes[0]}
        if any(plan.nodes[name].operation.resources.cpu for name in stage.nodes):
            assert len(stage.nodes) == 1


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_random_graphs_can_be_drawn(text: str) -> None:
    plan = planned(text)
    drawn = ET.fromstring(to_svg(plan))
    assert len(drawn.findall(".//{*}path[@marker-end]")) == to_mermaid(plan).count("-->")


def test_drawings_escape_what_users_write() -> None:
    evil = spoilt("name: pump,", "name: '</svg><script>\"]; &',").replace("alerts}", '"a\\"];<b>"}')
    evil = spoilt("    name: alerts", '    name: "a\\"];<b>"', evil)
    assert found(evil) == []
    plan = planned(evil)
    drawn = ET.fromstring(to_svg(plan))
    assert drawn.findall(".//{*}script") == []
    assert "a#34;]#59;#60;b#62;" in to_mermaid(plan)


def test_a_drawing_shows_module_quota_and_arms() -> None:
    text = to_svg(planned(SOUND)) + to_svg(planned(BRANCHES.replace(" RESOURCES", "")))
    for words in (
        "pump 1.2.0",
        "map  pump-features:1.0.0",
        "cpu 250m · 16Mi · 20ms",
        "inference  pump.onnx",
        ">True<",
        ">False<",
    ):
        assert words in text
