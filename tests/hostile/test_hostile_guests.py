"""A hostile guest under its quota: counted, named, and nobody else's trouble."""

import subprocess
import sys
from pathlib import Path

import pytest
from hostile_bench import MODULES, SENT

from flowrt.errors import FlowrtError
from flowrt.events import GraphMissing, GuestLogged, LimitReached, NodeDisabled
from flowrt.metrics import Metrics

FLOWRT = Path(sys.executable).with_name("flowrt")
COUNT = sum(map(len, SENT))
ABI = """
  (memory (export "memory") 4)
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 131072)"""


def guest(body, more="", imports=""):
    """A module whose map is `body`, with the parameters $in and $count."""
    export = '(func (export "flowrt_map") (param $in i32) (param $count i32) (result i32)'
    return f"(module {imports} {ABI} {more} {export} (local $i i32) {body}))"


def operation(resources="", kind="map"):
    return f"{{operationType: {kind}, name: node, module: hostile, resources: {{{resources}}}}}"


PASS = guest("""
  (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (local.get $count))
  (loop $next
    (i32.store offset=1024 (i32.mul (local.get $i) (i32.const 16)) (local.get $i))
    (i32.store offset=1032 (i32.mul (local.get $i) (i32.const 16)) (i32.const 1))
    (i32.store offset=1028 (i32.mul (local.get $i) (i32.const 16)) (i32.const 0))
    (i32.store offset=1036 (i32.mul (local.get $i) (i32.const 16)) (i32.const 0))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (local.get $count))))
  (i32.const 0)""")
"""One byte for every message."""
SPIN = "(loop $forever (br $forever)) unreachable"
CASES = {
    "an endless loop": (guest(SPIN), "deadline: 20ms", "deadline"),
    "an endless loop under a share": (guest(SPIN), "deadline: 20ms, cpu: 100m", "deadline"),
    "an endless loop under fuel": (guest(SPIN), "fuel: 100000", "fuel"),
    "memory that grows for ever": (
        guest("(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"),
        "memory: 8Mi",
        "memory",
    ),
    "an exhausted stack": (
        guest("(call $deep)", "(func $deep (result i32) (i32.add (call $deep) (i32.const 1)))"), "", "trap",
    ),
    "a table that grows for ever": (
        guest(
            "(loop $more (br_if $more (i32.ge_s (table.grow $t (ref.null func) (i32.const 99)) (i32.const 0))))"
            " unreachable",
            "(table $t 1 funcref)",
        ),
        "memory: 1Mi",
        "trap",
    ),
    "a wild pointer": (guest("(i32.const -4)"), "", "abi"),
    "a result of four billion outputs": (
        guest("(i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const -1)) (i32.const 0)"),
        "",
        "outputs",
    ),
    "a hundred outputs for each input": (
        guest("""
          (i32.store (i32.const 0) (i32.const 1024))
          (i32.store (i32.const 4) (i32.const 100))
          (loop $next
            (i32.store offset=1024 (i32.mul (local.get $i) (i32.const 16)) (i32.const 0))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (i32.const 100))))
          (i32.const 0)"""),
        "outputs: 99",
        "outputs",
    ),
    "a payload beyond the bound": (
        guest("""
          (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 1))
          (i32.store offset=1024 (i32.const 8) (i32.const 100001)) (i32.const 0)"""),
        "message: 100k",
        "size",
    ),
    "a wait in the host": (
        guest(
            "(loop $again (drop (call $poll (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))) (br $again))"
            " unreachable",
            imports='(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))',
        ),
        "deadline: 20ms",
        "deadline",
    ),
    "log lines for ever": (
        guest(
            "(loop $again (call $log (i32.const 2) (i32.const 64) (i32.const 100)) (br $again)) unreachable",
            imports='(import "flowrt" "log" (func $log (param i32 i32 i32)))',
        ),
        "deadline: 20ms, cpu: 250m",
        "deadline",
    ),
    "empty lines by the ten thousand, for ever": (
        guest(
            """
            (memory.fill (i32.const 1024) (i32.const 10) (i32.const 65000))
            (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65000))
            (loop $again
              (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $again)) unreachable""",
            imports='(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))',
        ),
        "deadline: 20ms, cpu: 250m",
        "deadline",
    ),
    "memory up to its quota, then a table": (
        guest(
            "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))"
            " (loop $more (br_if $more (i32.ge_s (table.grow $t (ref.null func) (i32.const 1)) (i32.const 0))))"
            " unreachable",
            "(table $t 1 funcref)",
        ),
        "memory: 1Mi",
        "memory",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "resources", "kind"), CASES.values(), ids=CASES)
def test_the_culprit_is_named_and_its_neighbour_loses_nothing(bench, module, text, resources, kind):
    module(text)

    node = bench.run(operation(resources))

    assert node.counters.faults == {kind: COUNT}
    assert bench.named(kind) == COUNT
    assert bench.dead() == [("hostile", "node", kind)] * COUNT
    assert bench.ends["hostile"].sources["in"].acknowledged == COUNT
    assert f'flowrt_node_faulted_messages_total{{graph="hostile",kind="{kind}",node="node"}} {COUNT}.0' in (
        bench.metrics.exposition()[0].decode()
    )


@pytest.mark.parametrize(("outputs", "faults"), [(100, {}), (99, {"outputs": 1})])
def test_outputs_at_the_bound_pass_and_one_more_does_not(bench, module, outputs, faults):
    module(CASES["a hundred outputs for each input"][0])

    node = bench.run(operation(f"outputs: {outputs}"), sent=[[b"x"]])

    assert (node.counters.faults, node.counters.emitted) == (faults, 0 if faults else 100)


def test_a_message_at_the_bound_passes_and_a_byte_more_does_not(bench, module):
    module(PASS)

    node = bench.run(operation("message: 100"), sent=[[bytes(100), bytes(101), bytes(99)], [bytes(101)]])

    assert (node.counters.faults, node.counters.emitted) == ({"size": 2}, 2)
    assert bench.dead() == [("hostile", "node", "size")] * 2


def test_an_endless_loop_is_switched_off_where_that_is_asked_for(bench, module):
    module(guest(SPIN))

    node = bench.run(operation("deadline: 20ms, disable: {faults: 2, within: 1h, pause: 1h}"))

    assert node.counters.disables == 1
    assert node.counters.faults == {"deadline": 2, "disabled": COUNT - 2}
    assert len(bench.dead()) == COUNT
    assert [(event.graph, event.node) for event in bench.events if isinstance(event, NodeDisabled)] == [
        ("hostile", "node")
    ]


def test_an_endless_loop_in_init_is_named_before_anything_is_read(bench, module):
    module(ENDLESS_INIT)

    with pytest.raises(FlowrtError) as caught:
        bench.build(operation("deadline: 20ms"))

    assert "node 'node' of 'hostile'" in str(caught.value)
    assert "a call took longer than 0.02 s" in str(caught.value)


ENDLESS_INIT = guest("unreachable", f'(func (export "flowrt_init") (param i32 i32) (result i32) {SPIN})')
BESIDE = """\
metadata: {{name: {name}, version: 1.0.0}}
moduleRequirements: {{apiVersion: "1.1.0", runtimeVersion: "1.1.0"}}
endpoints: [{{name: lines, file: {{path: in.txt}}}}, {{name: out, file: {{path: {name}.txt}}}}]
operations:
  - {{operationType: source, name: in, endpoint: lines}}
  - {{operationType: map, name: node, module: {module}, resources: {{deadline: {deadline}}}}}
  - {{operationType: sink, name: out, endpoint: out}}
connections:
  - {{from: {{name: in}}, to: {{name: node}}}}
  - {{from: {{name: node}}, to: {{name: out}}}}
"""


def test_beside_an_endless_loop_in_init_the_other_graph_runs_and_the_culprit_is_named(tmp_path, module):
    """The whole program, two graphs: one comes up and does its work to the end."""
    module(ENDLESS_INIT)
    lines = b"".join(b"%d\n" % number for number in range(4000))
    (tmp_path / "in.txt").write_bytes(lines)
    for name, code, deadline in (("hostile", "hostile.wasm", "20ms"), ("healthy", "passthrough", "30s")):
        (tmp_path / f"{name}.yaml").write_text(BESIDE.format(name=name, module=code, deadline=deadline))

    done = subprocess.run(
        [FLOWRT, "run", "hostile.yaml", "healthy.yaml", "--modules", MODULES, "--state", "state"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert (tmp_path / "healthy.txt").read_bytes() == lines
    assert "node 'node' of 'hostile' does not come up: deadline" in done.stderr
    assert done.returncode == 3


def test_a_graph_that_does_not_come_up_is_tried_again_and_comes(bench, module):
    """As when what its init waits for is there the next time."""
    module(ENDLESS_INIT)
    bench.build(operation("deadline: 20ms"), whole=False)
    runtime = bench.runtime
    assert ([graph.name for graph in runtime.graphs], list(runtime.missing)) == (["healthy"], ["hostile"])
    runtime.start()
    assert [event.graph for event in bench.events if isinstance(event, GraphMissing)] == ["hostile"]
    assert [(view.name, view.ready()) for view in runtime.views][-1] == ("hostile", False)

    runtime.look_for_missing()  # it is not due
    assert len([event for event in bench.events if isinstance(event, GraphMissing)]) == 1
    module(PASS)
    runtime.look_for_missing([bench.plan("hostile", bench.hostile)])

    assert runtime.missing == {}
    for graph in runtime.graphs:
        assert graph.finished.wait(60), graph.name
    runtime.stop(60.0)
    assert len(bench.ends["hostile"].sinks["out"].messages) == COUNT


def test_memory_that_grows_stays_within_its_quota_to_the_page(bench, module):
    """The guest carries on where it is refused, and holds what it has."""
    module(
        guest("""
          (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
          (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 1)) (i32.const 0)""")
    )
    held = []

    bench.build(operation("memory: 4Mi"))
    graph = bench.runtime.graphs[0]
    graph.nodes["node"].targets = [[lambda batch: held.append(bench.runtime.views[0].nodes[1].memory())]]
    bench.runtime.start()
    assert graph.finished.wait(60)
    bench.runtime.stop(60)

    assert set(held) == {4 * 2**20}


FLOOD = guest(
    """
      (loop $again
        (call $log (i32.const 2) (i32.const 64) (i32.const 100))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $i) (i32.const 20000))))
      (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 0)) (i32.const 0)""",
    imports='(import "flowrt" "log" (func $log (param i32 i32 i32)))',
)


def test_a_flood_of_log_lines_is_cut_and_counted(bench, module):
    module(FLOOD)

    node = bench.run(operation("logLines: 5, deadline: 1m"))

    lines = [event for event in bench.events if isinstance(event, GuestLogged) and "were left out" not in event.text]
    assert 5 <= len(lines) < 1000
    assert {(event.graph, event.node) for event in lines} == {("hostile", "node")}
    assert node.counters.filtered == COUNT
    assert node.counters.lines_left_out == 20_000 * node.counters.batches - len(lines)
    page = bench.metrics.exposition()[0].decode()
    assert 'flowrt_node_left_out_log_lines_total{graph="hostile",node="node"} ' in page
    assert 'flowrt_node_limit{bound="logLines",graph="hostile",node="node"} 5.0' in page


WORDS = guest(
    """
      (loop $next
        (i32.store (i32.const 256) (i32.load (i32.load offset=8 (local.get $in))))
        (call $fail (local.get $i) (i32.const 256) (i32.const 4))
        (local.set $in (i32.add (local.get $in) (i32.const 24)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $i) (local.get $count))))
      (i32.store (i32.const 4) (i32.const 0)) (i32.const 0)""",
    imports='(import "flowrt" "fail" (func $fail (param i32 i32 i32)))',
)


def test_what_a_guest_makes_up_never_becomes_a_series(bench, module):
    """Payloads, topics and words of refusal change with every message; the page has the same lines at the end."""
    module(WORDS)
    bench.build(operation())
    before = series(Metrics(lambda: bench.runtime.views))
    bench.runtime.stop(0)

    node = bench.run(operation(), sent=[[b"%04d" % number] for number in range(300)])

    assert node.counters.faults == {"error": 300}
    assert series(bench.metrics) == before


def series(metrics):
    lines = metrics.exposition()[0].decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if line.startswith("flowrt_")}


def test_several_endless_calls_under_a_graphs_budget_leave_the_neighbour_alone(bench, module):
    module(guest(SPIN))

    node = bench.run(operation("deadline: 50ms"), extra="resources: {cpu: 100m}\n")

    assert node.counters.faults == {"deadline": COUNT}
    assert node.counters.throttled_seconds > 0
    assert {event.bound for event in bench.events if isinstance(event, LimitReached)} == {"cpu"}
