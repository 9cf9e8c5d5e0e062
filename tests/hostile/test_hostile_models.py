"""A model that needs far more than its quota, in a process of its own, beside a healthy graph in the same runtime."""

import struct

import pytest
from onnx import TensorProto, helper

from flowrt.events import NodeFaulted
from flowrt.isolation.process import Child

MODEL = """{operationType: inference, name: node, model: {path: greedy.onnx},
    resources: {isolation: process, memory: 256Mi}}"""
QUOTA = 256 * 2**20


def model(*nodes):
    """Two i64 in, one f32 out."""
    x = helper.make_tensor_value_info("x", TensorProto.INT64, [1, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])
    constants = [
        helper.make_tensor(name, TensorProto.INT64, [len(value)], value)
        for name, value in (("two", [2]), ("single", [1, 1]), ("large", [2**15, 2**14]))
    ]
    sums = [
        helper.make_node("ReduceSum", ["ones"], ["total"], keepdims=0),
        helper.make_node("Reshape", ["total", "single"], ["y"]),
    ]
    graph = helper.make_graph([*nodes, *sums], "greedy", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


ONE = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
BY_INPUT = model(
    helper.make_node("Reshape", ["x", "two"], ["shape"]),
    helper.make_node("ConstantOfShape", ["shape"], ["ones"], value=ONE),
)
"""Makes a matrix of ones as large as its input says."""
ALWAYS = model(helper.make_node("ConstantOfShape", ["large"], ["ones"], value=ONE))
"""2 GB of ones, which the engine tries to make when it loads the model already."""


@pytest.fixture
def held(monkeypatch):
    """What the child held, every time it was looked at."""
    found, count = [], Child._count

    def look(child):
        if child.baseline:
            found.append(child.held())
        count(child)

    monkeypatch.setattr(Child, "_count", look)
    return found


def test_an_input_that_needs_2_gb_is_a_fault_and_the_next_one_passes(bench, held):
    (bench.path / "greedy.onnx").write_bytes(BY_INPUT)
    small, large = struct.pack("<2q", 3, 4), struct.pack("<2q", 2**15, 2**14)

    node = bench.run(MODEL, sent=[[small], [large], [small]])

    outputs = [message.payload for message in bench.ends["hostile"].sinks["out"].messages]
    assert outputs == [struct.pack("<f", 12.0)] * 2
    assert sum(node.counters.faults.values()) == 1
    assert {event.node for event in bench.events if isinstance(event, NodeFaulted)} == {"node"}
    assert max(held) <= QUOTA * 1.1


def test_a_model_that_always_needs_2_gb_fails_on_every_message(bench, held):
    (bench.path / "greedy.onnx").write_bytes(ALWAYS)

    node = bench.run(MODEL, sent=[[bytes(16)] * 4])

    assert sum(node.counters.faults.values()) == len(bench.dead()) == 4
    assert bench.ends["hostile"].sources["in"].acknowledged == 4
    assert max(held) <= QUOTA * 1.1
