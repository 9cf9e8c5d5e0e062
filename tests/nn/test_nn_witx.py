"""The core ABI as bytes: every generation's numbers, and nothing that a wild one breaks."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt.message import TENSOR_BYTES
from flowrt.nn.doors import witx
from flowrt.nn.doors.handles import Handles
from flowrt.nn.faults import ModelFault
from flowrt.wasm.imports import BadAddress
from flowrt.wasm.memory import LinearMemory

CURRENT = {0: "f16", 1: "f32", 2: "f64", 3: "u8", 4: "i32", 5: "i64"}
BEFORE_AUGUST_2023 = {0: "f16", 1: "f32", 2: "u8", 3: "i32"}

dims = st.lists(st.integers(1, 50), max_size=4).map(tuple)


def length_of(kind: str, shape: tuple[int, ...]) -> int:
    size = TENSOR_BYTES[kind]
    for extent in shape:
        size *= extent
    return size


@given(shape=dims, generation=st.sampled_from([CURRENT, BEFORE_AUGUST_2023]), data=st.data())
def test_both_generations_of_type_numbers_are_understood(
    shape: tuple[int, ...], generation: dict[int, str], data: st.DataObject
) -> None:
    tag, kind = data.draw(st.sampled_from(sorted(generation.items())))
    assert witx.tensor_type(tag, shape, length_of(kind, shape)) == kind


@given(
    shape=dims, tag=st.sampled_from(sorted(CURRENT)), padding=st.binary(min_size=3, max_size=3), at=st.integers(0, 64)
)
def test_a_tensor_is_read_as_it_was_written(shape: tuple[int, ...], tag: int, padding: bytes, at: int) -> None:
    memory = bytearray(512)
    size = length_of(CURRENT[tag], shape)
    struct.pack_into(f"<{len(shape)}I", memory, 256, *shape)
    struct.pack_into("<IIB3sII", memory, at, 256, len(shape), tag, padding, 77, size)
    found = witx.read_tensor(LinearMemory(lambda: memoryview(memory)), at)
    assert found == (witx.TensorHead(tag, size, shape), CURRENT[tag], 77)


@given(data=st.binary(min_size=64, max_size=64), at=st.integers(0, 2**32 - 1), count=st.integers(0, 2**32 - 1))
def test_wild_bytes_are_refused_by_name(data: bytes, at: int, count: int) -> None:
    memory = LinearMemory(lambda: memoryview(bytearray(data)))
    for read in (lambda: witx.read_tensor(memory, at % 80), lambda: witx.read_builders(memory, at % 80, count)):
        try:
            read()
        except (BadAddress, ModelFault):
            continue


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "openvino"),
        (1, "onnx"),
        (2, "tensorflow"),
        (3, "pytorch"),
        (4, "tensorflowlite"),
        (5, "autodetect"),
        (6, "autodetect"),
    ],
)
def test_encodings(number: int, expected: str) -> None:
    assert witx.encoding(number) == expected


def test_numbers_that_mean_nothing() -> None:
    for refused in (lambda: witx.encoding(7), lambda: witx.target(3), lambda: witx.tensor_type(6, (1,), 8)):
        with pytest.raises(ModelFault, match="does not exist"):
            refused()


@given(st.lists(st.one_of(st.none(), st.integers(0, 30)), max_size=60))
def test_handles_rise_and_are_never_used_twice(steps: list[int | None]) -> None:
    """None adds one, a number frees that one."""
    handles: Handles[str] = Handles("thing", 8)
    live: set[int] = set()
    last = -1
    for step in steps:
        if step is None and len(live) < 8:
            handle = handles.add("x")
            assert handle > last
            last = handle
            live.add(handle)
        elif step is None:
            with pytest.raises(ModelFault, match="8 things are open"):
                handles.add("x")
        elif step in live:
            handles.remove(step)
            live.remove(step)
        else:
            with pytest.raises(ModelFault, match="was freed" if step <= last else "does not exist"):
                handles.remove(step)
    assert len(handles) == len(live)
