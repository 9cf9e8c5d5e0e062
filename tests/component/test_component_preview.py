"""Components of AIO's preview, told apart by what they export: other names, and values without errors."""

import pytest
from component_guests import batch, core
from test_component_hostile import start  # noqa: F401 - a fixture

from flowrt.errors import StartError
from flowrt.graph.worlds import in_preview, interface
from flowrt.guests import component as guests
from flowrt.operators.filter import FilterOperation
from flowrt.wasm.inspect import inspect_bytes


def preview(kind, code, *, bare=True):
    text = guests._text([kind], ["buffer-read", "buffer-drop", "log"], 131072)
    text = text.replace("wasm-graph:processor", "tinykube-graph:processor").replace("@1.1.0", "@1.0.0")
    if bare:
        given = "bool" if kind == "filter" else "$model"
        text = text.replace(f"(result (result {given} (error $error)))", f"(result {given})")
    return guests._filled(guests.to_binary(text), code)


def test_a_map_gives_the_message_itself(start):  # noqa: F811
    code = core(
        {"map": "(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (local.get $model)"}
    )
    made = preview("map", code)
    assert inspect_bytes(made).exports == {"tinykube-graph:processor/map@1.0.0": "instance"}
    instance = start(made)()
    for payload in (b"small", bytes(1000)):
        assert instance.map(batch(payload)).payloads == [payload]
    instance.close()


def test_a_filter_gives_its_word(start):  # noqa: F811
    body = "(i32.eqz (i32.eqz (i32.load offset=84 (local.get $model))))"
    instance = start(preview("filter", core({"filter": body})), FilterOperation)()
    assert instance.decide("filter", batch(b"1", b"")) == (b"\1\0", {})
    instance.close()


def test_one_with_the_later_types_is_refused_by_name(start):  # noqa: F811
    with pytest.raises(StartError, match=r"exports process of tinykube-graph:processor/map@1.0.0 as"):
        start(preview("map", core({"map": "(local.get $model)"}), bare=False))


def test_names():
    assert in_preview(interface("types")) == "tinykube-graph:processor/types@1.0.0"
    assert in_preview("wasi:io/poll@0.2.0") == "wasi:io/poll@0.2.0"
