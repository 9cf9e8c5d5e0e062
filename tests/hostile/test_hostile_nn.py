"""Guests that misuse wasi-nn, in a runtime beside a healthy graph: each mistake is an error to the guest and a count,
and nothing of it is left behind."""

import gc
import struct

import numpy as np
import pytest
from onnx import TensorProto, helper

from flowrt.guests.component import componentize
from flowrt.nn.doors.component import Tensor
from flowrt.nn.doors.execution import Execution
from flowrt.nn.doors.holdings import Context, Graph
from flowrt.wasm.text import to_binary

DATA = 65536
"""Where the guest puts what a message brings beside its words."""
OUT = 512
FUNCTIONS = {
    "load": 5, "load_by_name": 3, "load_by_name_with_config": 5, "init_execution_context": 2, "set_input": 3,
    "compute": 1, "get_output": 5, "unload": 1, "finalize_execution_context": 1, "compute_single": 1,
}  # fmt: skip
WORDS = 7
"""Of a message: the function, how often to call it, and its arguments."""
NODE = "{operationType: map, name: node, module: hostile, resources: {memory: 8Mi, deadline: 30s}}"
MODELS = "\nmodels: [{name: m, path: m.onnx}]\n"


def forwarder():
    """A module whose every message is one call of wasi-nn: it gives back the errno."""
    imports = "".join(
        f'(import "wasi_ephemeral_nn" "{name}" (func ${name} (param {"i32 " * count}) (result i32)))\n'
        for name, count in FUNCTIONS.items()
    )
    calls = "".join(
        f"""(if (i32.eq (local.get $which) (i32.const {number})) (then (local.set $errno (call ${name} {
            " ".join(f"(i32.load offset={8 + 4 * at} (local.get $payload))" for at in range(count))
        }))))\n"""
        for number, (name, count) in enumerate(FUNCTIONS.items())
    )
    return f"""(module {imports}
  (memory (export "memory") 96)
  (func (export "flowrt_abi") (result i32) (i32.const 1))
  (func (export "flowrt_buffer") (param i32) (result i32) (i32.const 5242880))
  (func (export "flowrt_map") (param $message i32) (param $count i32) (result i32)
    (local $row i32) (local $payload i32) (local $which i32) (local $times i32) (local $errno i32) (local $at i32)
    (i32.store (i32.const 16) (i32.const 1024))
    (i32.store (i32.const 20) (local.get $count))
    (loop $rows
      (local.set $payload (i32.load offset=8 (local.get $message)))
      (memory.copy (i32.const {DATA}) (i32.add (local.get $payload) (i32.const {4 * WORDS}))
        (i32.sub (i32.load offset=12 (local.get $message)) (i32.const {4 * WORDS})))
      (local.set $which (i32.load (local.get $payload)))
      (local.set $times (i32.load offset=4 (local.get $payload)))
      (loop $again {calls}
        (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
      (local.set $at (i32.add (i32.const 1024) (i32.shl (local.get $row) (i32.const 4))))
      (i32.store (local.get $at) (local.get $row))
      (i32.store offset=4 (local.get $at) (i32.add (i32.const 16384) (i32.shl (local.get $row) (i32.const 2))))
      (i32.store offset=8 (local.get $at) (i32.const 4))
      (i32.store offset=12 (local.get $at) (i32.const 0))
      (i32.store (i32.add (i32.const 16384) (i32.shl (local.get $row) (i32.const 2))) (local.get $errno))
      (local.set $message (i32.add (local.get $message) (i32.const 24)))
      (br_if $rows (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 1))) (local.get $count))))
    (i32.const 16)))"""


def call(name, *arguments, data=b"", times=1):
    words = [list(FUNCTIONS).index(name), times, *arguments]
    return struct.pack(f"<{WORDS}I", *words, *[0] * (WORDS - len(words))) + data


def tensor(dims=(1, 3), tag=1, data=b"", at=DATA + 64, size=None, dims_at=DATA + 20, rank=None):
    """The bytes of a tensor at `DATA`: its 20, its dimensions, and its data at +64."""
    head = struct.pack(
        "<IIIII", dims_at, len(dims) if rank is None else rank, tag, at, len(data) if size is None else size
    )
    return (head + struct.pack(f"<{len(dims)}I", *dims)).ljust(64, b"\0") + data


def builder(data, size=None, at=DATA + 8):
    return struct.pack("<II", at, len(data) if size is None else size) + data


def doubling():
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def outside():
    """A model whose weights lie in another file."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "../../../etc/hostname", "offset": "0", "length": "4"}.items():
        weight.external_data.add(key=key, value=value)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


ROW = np.array([1, 2, 3], "f4").tobytes()
NAME = call("load_by_name", DATA, 1, OUT, data=b"m")
CONTEXT = call("init_execution_context", 0, OUT)
SET = call("set_input", 0, 0, DATA, data=tensor(data=ROW))
LARGE = 3 << 20

# What a guest does, the errno it gets, and the name under which a refusal is counted.
SOUND = [(NAME, 0, None), (CONTEXT, 0, None), (SET, 0, None), (call("compute", 0), 0, None)]
HOSTILE = [
    (call("get_output", 0, 0, DATA, 64, OUT), 0, None),
    (call("get_output", 0, 0, 0xFFFF_FFF0, 64, OUT), 1, "invalid-argument"),
    (call("get_output", 0, 0, DATA, 64, 0xFFFF_FFFE), 1, "invalid-argument"),
    (call("get_output", 0, 0, DATA, 11, OUT), 7, "too-large"),
    (call("get_output", 0, 0xFFFF_FFFF, DATA, 64, OUT), 1, "invalid-argument"),
    (call("load_by_name", 0xFFFF_FFF0, 64, OUT), 1, "invalid-argument"),
    (call("load_by_name", DATA, 0xFFFF_FFFF, OUT), 1, "invalid-argument"),
    (call("load_by_name", DATA, 2, OUT, data=b"\xff\xfe"), 1, "invalid-argument"),
    (call("load_by_name", DATA, 5, OUT, data=b"other"), 8, "not-found"),
    (call("load_by_name_with_config", DATA, 1, DATA + 1, 1 << 20, OUT, data=b"m"), 7, "too-large"),
    (call("load_by_name_with_config", DATA, 1, DATA + 1, 3, OUT, data=b"m[1]"), 1, "invalid-argument"),
    (call("load", DATA, 0, 1, 0, OUT), 1, "invalid-argument"),
    (call("load", DATA, 0xFFFF_FFFF, 1, 0, OUT), 1, "invalid-argument"),
    (call("load", 0xFFFF_FFF8, 1, 1, 0, OUT), 1, "invalid-argument"),
    (call("load", DATA, 1, 1, 0, OUT, data=builder(b"no model at all")), 2, "invalid-encoding"),
    (call("load", DATA, 1, 1, 0, OUT, data=builder(b"")), 2, "invalid-encoding"),
    (call("load", DATA, 1, 77, 0, OUT, data=builder(doubling())), 2, "invalid-encoding"),
    (call("load", DATA, 1, 1, 77, OUT, data=builder(doubling())), 1, "invalid-argument"),
    (call("load", DATA, 1, 1, 0, OUT, data=builder(outside())), 5, "security"),
    (call("load", DATA, 1, 1, 0, OUT, data=builder(b"", size=1 << 31)), 7, "too-large"),
    (call("load", DATA, 1, 1, 0, OUT, data=builder(b"", size=LARGE)), 7, "too-large"),
    (call("set_input", 0, 0, 0xFFFF_FFF0), 1, "invalid-argument"),
    (call("set_input", 0, 0xFFFF_FFFF, DATA, data=tensor(data=ROW)), 1, "invalid-argument"),
    (call("set_input", 0, 0, DATA, data=tensor(data=ROW, at=0xFFFF_FFF0)), 1, "invalid-argument"),
    (call("set_input", 0, 0, DATA, data=tensor(data=ROW, dims_at=0xFFFF_FFF0)), 1, "invalid-argument"),
    (call("set_input", 0, 0, DATA, data=tensor(data=ROW, rank=0xFFFF_FFFF)), 1, "invalid-argument"),
    (call("set_input", 0, 0, DATA, data=tensor((2**29 // 3, 3), size=2**31 - 4)), 1, "invalid-argument"),
    (call("set_input", 0, 0, DATA, data=tensor((2**32 - 1, 3), data=ROW)), 1, "invalid-argument"),
    (call("set_input", 0, 0, DATA, data=tensor((2**31, 2**31), data=ROW)), 1, "invalid-argument"),
    (call("set_input", 0, 0, DATA, data=tensor(tag=77, data=ROW)), 1, "invalid-argument"),
    (call("set_input", 0, 0, DATA, data=tensor(tag=4, data=ROW)), 1, "invalid-argument"),
    (call("set_input", 5, 0, DATA, data=tensor(data=ROW)), 1, "invalid-argument"),
    (call("compute", 0xFFFF_FFFF), 1, "invalid-argument"),
    (call("compute_single", 0), 6, "unsupported-operation"),
    (call("init_execution_context", 77, OUT), 1, "invalid-argument"),
    (call("init_execution_context", 0, 0xFFFF_FFFE), 1, "invalid-argument"),
    (call("unload", 77), 1, "invalid-argument"),
    (call("finalize_execution_context", 0), 0, None),
    (call("finalize_execution_context", 0), 1, "invalid-argument"),
    (SET, 1, "invalid-argument"),
    (call("compute", 0), 1, "invalid-argument"),
    (call("get_output", 0, 0, DATA, 64, OUT), 1, "invalid-argument"),
    (call("unload", 0), 0, None),
    (call("unload", 0), 1, "invalid-argument"),
    (CONTEXT, 1, "invalid-argument"),
]  # fmt: skip


def held():
    """Live things of wasi-nn in this process. By `type`: to `isinstance`, PyTorch's deprecated objects answer with
    warnings."""
    gc.collect()
    return [thing for thing in gc.get_objects() if issubclass(type(thing), Graph | Context | Execution | Tensor)]


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = held()
    yield
    assert [thing for thing in held() if not any(thing is known for known in before)] == []


def test_every_mistake_is_an_errno_and_a_count(bench, module):
    module(forwarder())
    (bench.path / "m.onnx").write_bytes(doubling())
    steps = [*SOUND, *HOSTILE, *[(again, 0, None) for again in (NAME,)]]

    node = bench.run(NODE, sent=[[message] for message, _, _ in steps], extra=MODELS)

    outputs = [struct.unpack("<I", message.payload)[0] for message in bench.ends["hostile"].sinks["out"].messages]
    assert outputs == [errno for _, errno, _ in steps]
    counted = [code for _, _, code in steps if code]
    assert node.counters.nn_refused == {code: counted.count(code) for code in set(counted)}
    assert (node.counters.faults, node.counters.restarts) == ({}, 0)


def test_a_million_contexts_are_refused_and_the_log_is_not_filled(bench, module):
    module(forwarder())
    (bench.path / "m.onnx").write_bytes(doubling())
    endless = call("init_execution_context", 0, OUT, times=1_000_000)

    node = bench.run(
        NODE.replace("30s", "300s"), sent=[[NAME, CONTEXT, endless], [SET, call("compute", 0)]], extra=MODELS
    )

    outputs = [struct.unpack("<I", message.payload)[0] for message in bench.ends["hostile"].sinks["out"].messages]
    assert outputs == [0, 0, 7, 0, 0]
    assert node.counters.nn_refused == {"too-large": 1_000_001 - 1024}
    lines = [event for event in bench.events if "too-large" in getattr(event, "text", "")]
    assert 1 <= len(lines) <= 20


COMPONENT = """(module
  (import "env" "memory" (memory 2))
  (import "env" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
  (import "host" "nn-load-by-name" (func $load (param i32 i32 i32)))
  (import "host" "nn-start" (func $start (param i32 i32)))
  (import "host" "nn-tensor-new" (func $new (param i32 i32 i32 i32 i32) (result i32)))
  (import "host" "nn-compute" (func $compute (param i32 i32 i32 i32)))
  (import "host" "nn-tensor-data" (func $data (param i32 i32)))
  (import "host" "nn-error-code" (func $code (param i32) (result i32)))
  (data (i32.const 256) "mx") (data (i32.const 264) "\\01\\00\\00\\00\\03\\00\\00\\00")
  (func (export "map-init") (param i32 i32 i32 i32) (result i32)
    (call $load (i32.const 256) (i32.const 1) (i32.const 512))
    (call $start (i32.load (i32.const 516)) (i32.const 520))
    (i32.eqz (i32.load8_u (i32.const 520))))
  (func (export "map-process") (param $model i32) (result i32) (local $at i32)
    (i32.store (i32.const 540) (i32.const 257)) (i32.store (i32.const 544) (i32.const 1))
    (i32.store (i32.const 548)
      (call $new (i32.const 264) (i32.const 2) (i32.const 1)
        (i32.load offset=80 (local.get $model)) (i32.load offset=84 (local.get $model))))
    (call $compute (i32.load (i32.const 524)) (i32.const 540) (i32.const 1) (i32.const 560))
    (if (i32.load8_u (i32.const 560))
      (then
        (i32.store (i32.const 600) (call $code (i32.load (i32.const 564))))
        (i32.store offset=80 (local.get $model) (i32.const 600))
        (i32.store offset=84 (local.get $model) (i32.const 4)))
      (else
        (call $data (i32.load offset=8 (i32.load (i32.const 564))) (i32.const 580))
        (i32.store offset=80 (local.get $model) (i32.load (i32.const 580)))
        (i32.store offset=84 (local.get $model) (i32.load (i32.const 584)))))
    (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 136)))
    (i32.store8 (local.get $at) (i32.const 0))
    (memory.copy (i32.add (local.get $at) (i32.const 8)) (local.get $model) (i32.const 128))
    (local.get $at)))"""
"""Runs the payload through the model; an error's number is what it gives then. It never drops a tensor or an error."""


def test_an_operator_component_that_drops_nothing(bench, monkeypatch):
    """Its outputs are right until it has hoarded what a node may hold; then it ends, and a fresh instance goes on."""
    monkeypatch.setattr("flowrt.nn.doors.component.MAX_HANDLES", 500)
    (bench.path / "hostile.wasm").write_bytes(componentize(to_binary(COMPONENT)))
    (bench.path / "m.onnx").write_bytes(doubling())
    sent = [[ROW, b"four"]] * 400

    node = bench.run(NODE, sent=sent, extra=MODELS)

    outputs = [message.payload for message in bench.ends["hostile"].sinks["out"].messages]
    wanted = [(2 * np.frombuffer(ROW, "f4")).tobytes(), struct.pack("<I", 0)]
    assert outputs == wanted * 400
    assert node.counters.restarts >= 1
    assert node.counters.nn_refused["invalid-argument"] >= 400


ACTOR = """(module
  (import "env" "memory" (memory 2))
  (import "env" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
  (import "host" "nn-load-by-name" (func $named (param i32 i32 i32)))
  (import "host" "nn-load" (func $load (param i32 i32 i32 i32 i32)))
  (import "host" "nn-start" (func $start (param i32 i32)))
  (import "host" "nn-tensor-new" (func $new (param i32 i32 i32 i32 i32) (result i32)))
  (import "host" "nn-compute" (func $compute (param i32 i32 i32 i32)))
  (import "host" "nn-tensor-data" (func $data (param i32 i32)))
  (import "host" "nn-error-code" (func $code (param i32) (result i32)))
  (import "host" "nn-error-drop" (func $drop-error (param i32)))
  (import "host" "nn-tensor-drop" (func $drop-tensor (param i32)))
  (import "host" "nn-graph-drop" (func $drop-graph (param i32)))
  (import "host" "nn-context-drop" (func $drop-context (param i32)))
  (data (i32.const 256) "mx") (data (i32.const 272) "OUTSIDE")
  (func $told (param $at i32) (result i32) (local $code i32)
    (if (i32.eqz (i32.load8_u (local.get $at))) (then (return (i32.const 0))))
    (local.set $code (call $code (i32.load offset=4 (local.get $at))))
    (call $drop-error (i32.load offset=4 (local.get $at)))
    (i32.add (i32.const 100) (local.get $code)))
  (func $run (param $context i32) (result i32) (local $told i32)
    (i32.store (i32.const 1040924) (i32.const 257)) (i32.store (i32.const 1040928) (i32.const 1))
    (i32.store (i32.const 1040932) (call $new (i32.load (i32.const 1048584)) (i32.load (i32.const 1048588))
      (i32.load (i32.const 1048592)) (i32.load (i32.const 1048596)) (i32.load (i32.const 1048600))))
    (call $compute (local.get $context) (i32.const 1040924) (i32.const 1) (i32.const 1040944))
    (if (local.tee $told (call $told (i32.const 1040944))) (then (return (local.get $told))))
    (call $data (i32.load offset=8 (i32.load (i32.const 1040948))) (i32.const 1040964))
    (call $drop-tensor (i32.load offset=8 (i32.load (i32.const 1040948))))
    (i32.reinterpret_f32 (f32.load (i32.load (i32.const 1040964)))))
  (func $act (param $what i32) (result i32) (local $told i32)
    (if (i32.eq (local.get $what) (i32.const 0)) (then (return (call $run (i32.load (i32.const 1040908))))))
    (if (i32.eq (local.get $what) (i32.const 1)) (then
      (call $load (i32.load (i32.const 1048584)) (i32.load (i32.const 1048588)) (i32.load (i32.const 1048592))
        (i32.load (i32.const 1048596)) (i32.const 1040984))
      (if (i32.eqz (local.tee $told (call $told (i32.const 1040984))))
        (then (call $drop-graph (i32.load (i32.const 1040988)))))
      (return (local.get $told))))
    (if (i32.eq (local.get $what) (i32.const 2)) (then
      (call $start (i32.load (i32.const 1040900)) (i32.const 1040984)) (return (call $told (i32.const 1040984)))))
    (call $drop-context (i32.load (i32.const 1040908)))
    (call $run (i32.load (i32.const 1040908))))
  (func (export "map-init") (param i32 i32 i32 i32) (result i32)
    (drop (memory.grow (i32.const 64)))
    (call $named (i32.const 256) (i32.const 1) (i32.const 1040896))
    (call $start (i32.load (i32.const 1040900)) (i32.const 1040904))
    (i32.eqz (i32.load8_u (i32.const 1040904))))
  (func (export "map-process") (param $model i32) (result i32) (local $at i32) (local $times i32)
    (memory.copy (i32.const 1048576) (i32.load offset=80 (local.get $model)) (i32.load offset=84 (local.get $model)))
    (local.set $times (i32.load (i32.const 1048580)))
    (loop $again
      (i32.store (i32.const 1041024) (call $act (i32.load (i32.const 1048576))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (i32.store offset=80 (local.get $model) (i32.const 1041024))
    (i32.store offset=84 (local.get $model) (i32.const 4))
    (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 136)))
    (i32.store8 (local.get $at) (i32.const 0))
    (memory.copy (i32.add (local.get $at) (i32.const 8)) (local.get $model) (i32.const 128))
    (local.get $at)))"""
"""A component whose every message is a deed: 0 runs the model on a tensor, 1 loads a model, 2 starts a context, 3 runs
in a context that it dropped. It gives back what it was told: 100 and the error's code, or the output's first value."""
MANY = 1100
"""Contexts: each costs three crossings, and a core guest tries a million."""
RUN, LOAD, START, FREED = range(4)
OWN = 272
"""Where it has a model of its own: a payload of more than 128 bytes would come as a resource."""
ACTOR_NODE = (
    "{operationType: map, name: node, module: hostile, resources: {memory: 8Mi, deadline: 300s}, "
    "onError: {policy: deadLetter}}"
)
AT = 2**20 + 28
"""Where the component finds what stands behind a message's words."""
ENDED = None
"""The instance ends, and a fresh one takes its place."""


def deed(what, *words, data=b"", times=1):
    return struct.pack("<7I", what, times, *words, *[0] * (5 - len(words))) + data


def tried(dims=(1, 3), kind=1, data=ROW, size=None, at=AT + 16):
    """A run on a tensor; its dimensions stand before its data."""
    return deed(
        RUN, AT, len(dims), kind, at, len(data) if size is None else size,
        data=struct.pack(f"<{len(dims)}I", *dims).ljust(16, b"\0") + data,
    )  # fmt: skip


def brought(data, size=None, encoding=1, target=0, at=AT + 8):
    span = struct.pack("<II", at, len(data) if size is None else size)
    return deed(LOAD, AT, 1, encoding, target, data=span + data)


CODES = {"invalid-argument": 100, "invalid-encoding": 101, "too-large": 105, "not-found": 106, "security": 107}
DOUBLED = struct.unpack("<I", struct.pack("<f", 2.0))[0]
DEEDS = [
    (tried(), "sound"),
    (tried((2**32 - 1, 3)), "invalid-argument"),
    (tried((2**31, 2**31)), "invalid-argument"),
    (tried((1, 4)), "invalid-argument"),
    (tried(kind=5), "invalid-argument"),
    (tried(kind=77), ENDED),
    (tried(at=0xFFFF_FFF0), ENDED),
    (tried((2**29 // 3, 3), size=2**31 - 4), ENDED),
    (tried((2**18, 3), size=LARGE), "too-large"),
    (brought(b"no model at all"), "invalid-encoding"),
    (brought(b""), "invalid-encoding"),
    (brought(doubling()), "done"),
    (brought(doubling(), encoding=77), ENDED),
    (brought(doubling(), target=77), ENDED),
    (brought(b"", size=len(outside()), at=OWN), "security"),
    (brought(b"", size=4 << 20), "too-large"),
    (brought(b"", size=2**31), "too-large"),
    (deed(FREED, AT, 2, 1, AT + 16, 12, data=struct.pack("<4I", 1, 3, 0, 0) + ROW), ENDED),
    (deed(START, times=MANY), "too-large"),
    (tried(), "sound"),
]  # fmt: skip


def test_every_mistake_of_a_component_is_a_code_or_its_own_end(bench):
    """A mistake that the interface has a code for is that code and a count; one that its types do not allow ends the
    instance, and the message is a dead letter. Either way the next message finds a model that works."""
    (bench.path / "hostile.wasm").write_bytes(
        componentize(to_binary(ACTOR.replace("OUTSIDE", "".join(f"\\{byte:02x}" for byte in outside()))))
    )
    (bench.path / "m.onnx").write_bytes(doubling())

    node = bench.run(ACTOR_NODE, sent=[[message] for message, _ in DEEDS], extra=MODELS)

    outputs = [struct.unpack("<I", message.payload)[0] for message in bench.ends["hostile"].sinks["out"].messages]
    meant = {"sound": DOUBLED, "done": 0, **CODES}
    assert outputs == [meant[what] for _, what in DEEDS if what is not ENDED]
    ended = [what for _, what in DEEDS].count(ENDED)
    assert len(bench.dead()) == ended
    assert node.counters.restarts >= ended  # what came with a message that ends the instance is tried again
    plain = [what for _, what in DEEDS if what in CODES]
    for code in set(plain):
        more = MANY - 1024 if code == "too-large" else 0
        assert node.counters.nn_refused[code] >= plain.count(code) + more, code
