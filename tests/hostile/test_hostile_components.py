"""Hostile operator components in a graph beside a healthy one: each is told in words and counted, its messages have an
end, and the rest goes on. `tests/component/test_component_hostile.py` looks at single instances."""

import pytest
from component_guests import ECHO, component, core
from component_texts import CONNECTING, sleeping, wrong
from hostile_bench import SENT

from flowrt.errors import FlowrtError
from flowrt.events import GraphMissing, GuestLogged, NodeRestarted
from flowrt.metrics import Metrics

COUNT = sum(map(len, SENT))
SPIN = "(loop $forever (br $forever)) (unreachable)"
PASSED = [payload for batch in SENT for payload in batch]


def operation(resources="", kind="map"):
    return f"{{operationType: {kind}, name: node, module: hostile, resources: {{{resources}}}}}"


@pytest.fixture
def hostile(bench):
    """`hostile(component)`: the bench, with that component where the graph finds it."""

    def put(code):
        (bench.path / "hostile.wasm").write_bytes(code)
        return bench

    return put


def page(bench):
    return bench.metrics.exposition()[0].decode()


def passed(bench):
    return [message.payload for message in bench.ends["hostile"].sinks["out"].messages]


def settled(bench):
    assert bench.ends["hostile"].sources["in"].acknowledged == COUNT


# A component that cannot start costs its own graph; the neighbour runs, and the culprit is tried again.

NO_START = {
    "a type of a field": (
        wrong(core({"map": ECHO}), '(field "width" u32)', '(field "width" s32)'),
        "exports process of wasm-graph:processor/map@1.1.0 as",
    ),
    "a type of an import": (
        wrong(core({"map": ECHO}), '(param "context" string) (param', '(param "context" (list u8)) (param'),
        "imports log of wasm-graph:processor/logger@1.1.0 as",
    ),
    "an endless init": (component({"map": ECHO}, init=SPIN), "a call took longer than 0.05 s"),
    "an init that refuses": (component({"map": ECHO}, init="(i32.const 0)"), "init refused the configuration"),
    "an init that traps": (component({"map": ECHO}, init="(unreachable)"), "unreachable"),
}


@pytest.mark.parametrize(("code", "words"), NO_START.values(), ids=NO_START)
def test_a_component_that_cannot_start_leaves_the_neighbour_alone(hostile, code, words):
    bench = hostile(code)
    bench.build(operation("deadline: 50ms"), whole=False)
    bench.runtime.start()
    (healthy,) = bench.runtime.graphs
    assert healthy.finished.wait(60)

    (missing,) = [event for event in bench.events if isinstance(event, GraphMissing)]
    assert missing.graph == "hostile"
    assert "'node'" in missing.reason
    assert words in missing.reason
    bench.metrics = Metrics(lambda: bench.runtime.views)
    assert 'flowrt_graph_failed_starts_total{graph="hostile"} 1.0' in page(bench)
    bench.runtime.stop(60)
    assert len(bench.ends["healthy"].sinks["out"].messages) == 4000


def test_a_component_that_lacks_the_operator_is_a_problem_of_the_file(hostile):
    bench = hostile(component({"map": ECHO}))
    _, (problem, *_) = bench.load("hostile", GRAPH_OF_A_FILTER)
    assert (problem.line, problem.node) == (6, "node")
    assert "filter" in problem.message


GRAPH_OF_A_FILTER = """\
metadata: {name: hostile, version: 1.0.0}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
endpoints: [{name: plant, mqtt: {host: 127.0.0.1}}]
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}
  - {operationType: filter, name: node, module: hostile}
  - {operationType: sink, name: out, endpoint: plant, topic: out}
connections:
  - {from: {name: in}, to: {name: node}}
  - {from: {name: node}, to: {name: out}}
"""


def test_alone_a_component_that_cannot_start_is_the_programs_error(hostile):
    bench = hostile(component({"map": ECHO}, init=SPIN))
    with pytest.raises(FlowrtError, match=r"node 'node' of 'hostile' .*a call took longer than 0\.05 s"):
        bench.build(operation("deadline: 50ms"))


# One that runs costs its own messages, or nothing.


def test_sockets_that_were_not_granted_are_refused_counted_and_told_once(hostile):
    bench = hostile(CONNECTING)
    node = bench.run(operation())
    assert node.counters.faults == {"error": COUNT}  # the words of the guest, which was told `access-denied`
    for call in ("create-tcp-socket", "resolve-addresses"):
        assert f'flowrt_node_denied_calls_total{{call="{call}",graph="hostile",node="node"}} {COUNT}.0' in page(bench)
        told = [event for event in bench.events if isinstance(event, GuestLogged) and call in event.text]
        assert [(event.graph, event.node, event.severity) for event in told] == [("hostile", "node", "warning")]
        assert "does not grant network" in told[0].text
    settled(bench)


def test_a_log_message_of_a_hundred_megabytes_is_cut_and_counted(hostile):
    body = f"(call $log (i32.const 2) (i32.const 0) (i32.const 0) (global.get $at) (i32.const 100000000)) {ECHO}"
    bench = hostile(
        component(
            {"map": body},
            init="""(global.set $at (call $alloc (i32.const 100000000)))
              (memory.fill (global.get $at) (i32.const 65) (i32.const 100000000)) (i32.const 1)""",
            extra="(global $at (mut i32) (i32.const 0))",
        )
    )
    node = bench.run(operation("memory: 256Mi"))
    assert (node.counters.faults, passed(bench)) == ({}, PASSED)
    assert f'flowrt_node_cut_log_lines_total{{graph="hostile",node="node"}} {COUNT}.0' in page(bench)
    texts = {event.text for event in bench.events if isinstance(event, GuestLogged)}
    assert texts == {"A" * 8192}
    settled(bench)


def test_a_topic_that_is_not_utf_8_costs_the_message_and_not_the_instance(hostile):
    body = f"(i32.store8 (i32.load offset=52 (local.get $model)) (i32.const 255)) {ECHO}"
    bench = hostile(component({"map": body}))
    node = bench.run(operation())
    assert (node.counters.faults, node.counters.restarts) == ({"abi": COUNT}, 0)
    assert bench.dead() == [("hostile", "node", "abi")] * COUNT
    assert f'flowrt_node_faulted_messages_total{{graph="hostile",kind="abi",node="node"}} {COUNT}.0' in page(bench)
    assert any("topic that is not UTF-8" in getattr(event, "detail", "") for event in bench.events)
    settled(bench)


def keyed(size):
    """A map that sets a key of so many bytes, and passes the message on if that was refused."""
    return component(
        {
            "map": f"""(local.set $at (call $alloc (i32.const 256)))
              (i32.store (local.get $at) (global.get $key)) (i32.store offset=4 (local.get $at) (i32.const {size}))
              (i32.store offset=8 (local.get $at) (i32.const 1024))
              (i32.store offset=12 (local.get $at) (i32.const 1))
              (i32.store8 offset=80 (local.get $at) (i32.const 2))
              (call $set (local.get $at) (i32.add (local.get $at) (i32.const 128)))
              (if (i32.eqz (i32.load8_u offset=128 (local.get $at))) (then (unreachable)))
              (call $ok (local.get $model))"""
        },
        init=f"(global.set $key (call $alloc (i32.const {size}))) (i32.const 1)",
        extra="(global $key (mut i32) (i32.const 0))",
        imports='(import "host" "state-set" (func $set (param i32 i32)))',
    )


def test_a_state_key_of_a_megabyte_is_refused_and_counted(hostile):
    bench = hostile(keyed(1_000_000))
    node = bench.run(operation())
    assert (node.counters.faults, passed(bench)) == ({}, PASSED)
    assert f'flowrt_node_refused_state_calls_total{{graph="hostile",node="node"}} {COUNT}.0' in page(bench)
    settled(bench)


def test_a_state_key_of_ten_megabytes_ends_the_call(hostile):
    """It is more than may cross in one call."""
    bench = hostile(keyed(10_000_000))
    node = bench.run(operation())
    assert node.counters.faults == {"size": COUNT}
    settled(bench)


# One that sleeps with the engine, where no deadline reaches it.


def test_a_component_that_sleeps_for_years_costs_its_own_messages(hostile):
    bench = hostile(sleeping(milliseconds=10**12))
    node = bench.run(operation("deadline: 20ms"))
    assert passed(bench) == []
    assert node.counters.faults == {"deadline": 3, "disabled": COUNT - 3}  # and once it was a whole batch, tried again
    assert node.counters.given_up == 4
    assert 'flowrt_node_given_up_calls_total{graph="hostile",node="node"} 4.0' in page(bench)
    restarts = [event for event in bench.events if isinstance(event, NodeRestarted)]
    assert {(event.graph, event.node) for event in restarts} == {("hostile", "node")}
    assert all("longer than 0.02 s" in event.reason and "is given up" in event.reason for event in restarts)
    assert len(bench.dead()) == COUNT
    settled(bench)


def test_a_graph_stops_while_a_component_sleeps(hostile):
    bench = hostile(sleeping(milliseconds=10**12))
    bench.build(operation("deadline: 1h"))
    bench.runtime.start()
    graph, healthy = bench.runtime.graphs
    assert healthy.finished.wait(60)
    assert graph.stop(0.1)
    assert bench.ends["hostile"].sources["in"].acknowledged == 0
