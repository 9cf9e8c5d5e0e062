"""Long lists of components: in place where a component can be changed for it, and as the engine has it where not."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_component import Guest, text
from nn_models import double, use
from wasmtime.component import Component

from flowrt.errors import GuestTrap
from flowrt.graph.worlds import NN_NEWER, NN_OLDER
from flowrt.nn.doors.component import ComponentDoor
from flowrt.nn.doors.holdings import Holdings
from flowrt.nn.registry import Models
from flowrt.wasm.component.direct import Rewriter
from flowrt.wasm.component.lists import in_place
from flowrt.wasm.component.signature import functions
from flowrt.wasm.engine import Engine
from flowrt.wasm.text import to_binary

ROOT = Path(__file__).parents[2]
PICTURE = (1, 3, 1024, 1024)
ROW = np.array([[1, 2, 3]], "f4")
Enter = Callable[..., Guest]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def enter(tmp_path: Path, engine: Engine) -> Iterator[Enter]:
    opened: list[Guest] = []
    models = Models()

    def enter(*files: bytes, memory: int = 256 << 20, **how: int | str) -> Guest:
        uses = [use(tmp_path, data, f"m{at}") for at, data in enumerate(files)]
        opened.append(Guest(engine, ComponentDoor(Holdings(models, uses, memory, print)), memory=memory, **how))  # type: ignore[arg-type]
        return opened[-1]

    yield enter
    for guest in opened:
        guest.close()
    models.close()


@pytest.mark.parametrize("revision", [NN_NEWER, NN_OLDER])
def test_three_functions_are_changed_and_their_interfaces_renamed(engine: Engine, revision: str) -> None:
    made = functions(Component(engine.native(), in_place(to_binary(text(revision)))), engine.native(), exported=False)
    assert set(made) == {
        f"flowrt:nn/tensor@{revision}", f"flowrt:nn/graph@{revision}",
        f"wasi:nn/inference@{revision}", f"wasi:nn/errors@{revision}",
    }  # fmt: skip
    assert made[f"flowrt:nn/tensor@{revision}"]["[method]tensor.data"] == "(borrow, u32, u32) -> u32"
    assert made[f"flowrt:nn/graph@{revision}"]["load"].startswith("(u32, u32, enum")


def test_a_picture_of_12_megabytes_goes_in_and_out(enter: Enter) -> None:
    """1 x 3 x 1024 x 1024 of f32: as lists of the engine's it would be 400 MB of values each way."""
    guest = enter(double(dims=PICTURE), pages=640)
    picture = np.random.default_rng(5).random(PICTURE, "f4")
    dims, at = guest.put(struct.pack("<4I", *PICTURE)), 1 << 20
    guest.store.guest.write(at, picture.tobytes())
    tensor = guest.call("new", dims, 4, 1, at, picture.nbytes)
    made = guest.compute(guest.context("m0"), x=tensor)
    assert isinstance(made, dict)
    guest.call("data", made["y"], guest.result)
    assert guest.store.guest.read(*guest.words(2)) == (2 * picture).tobytes()


@pytest.mark.parametrize("way", [True, False])
def test_both_ways_give_the_same_bytes(enter: Enter, way: bool) -> None:
    """600 kB in and out, every value of a byte among them."""
    values = np.frombuffer(np.random.default_rng(3).bytes(602_112), "u1").view("i4").reshape(1, -1)
    guest = enter(double(6, (1, values.size)), in_place=way)
    context = guest.context("m0")
    made = guest.compute(context, x=guest.tensor(values, "I32"))
    assert isinstance(made, dict)
    assert guest.data(made["y"]) == (values + values).tobytes()


@pytest.mark.parametrize("way", [True, False])
def test_a_tensor_of_nothing(enter: Enter, way: bool) -> None:
    guest = enter(in_place=way)
    assert guest.data(guest.made([0, 3], "FP32", b"")) == b""


@pytest.mark.parametrize("way", [True, False])
def test_a_model_from_the_guest(enter: Enter, way: bool) -> None:
    guest = enter(in_place=way)
    graph = guest.load(double())
    context = guest.told("start", graph)  # type: ignore[arg-type]
    made = guest.compute(context, x=guest.tensor(ROW))  # type: ignore[arg-type]
    assert guest.data(made["y"]) == (2 * ROW).tobytes()  # type: ignore[index]
    assert guest.load(encoding="onnx") == "invalid-argument: a model of 0 parts; 1 to 16 are possible"


@pytest.mark.parametrize(
    ("call", "words"),
    [("new", (0, 0, 1, 0xFFFF_FFF0, 64)), ("new", (0, 0, 1, 0, 2**31 - 1)), ("load", (0xFFFF_FFF0, 2, 1, 0))],
)
def test_lists_outside_memory_end_the_instance(enter: Enter, call: str, words: tuple[int, ...]) -> None:
    guest = enter()
    with pytest.raises(GuestTrap, match="outside its memory"):
        guest.call(call, *words, *([guest.result] if call == "load" else []))


# What is left as it is.

BINARY = to_binary(text(NN_NEWER))


def test_what_is_not_changed_is_written_as_it_was_read() -> None:
    """Of whatever tool a component comes, the one made of Python too."""
    paths = [path for path in ROOT.glob("modules/**/*.wasm") if path.read_bytes()[4] == 0x0D]
    for path in paths:
        code = path.read_bytes()
        assert Rewriter({}, str, b"").run(code) == code, path
        assert in_place(code) != code, path  # all read payloads
    assert len(paths) > 5


HANDED_ON = f"""(component
  (type $reads (instance
    (export "buffer" (type $b (sub resource)))
    (export "[method]buffer.read" (func (param "self" (borrow $b)) (result (list u8))))))
  (import "wasm-graph:processor/types@1.1.0" (instance $types (type $reads)))
  (import "wasi:nn/tensor@{NN_NEWER}" (instance $tensors
    (export "tensor" (type $t (sub resource)))
    (export "[method]tensor.data" (func (param "self" (borrow $t)) (result (list u8))))))
  (core module $M (memory (export "m") 1) (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
  (core instance $m (instantiate $M))
  (core func (canon lower (func $tensors "[method]tensor.data")
    (memory (core memory $m "m")) (realloc (core func $m "r"))))
  (component $Inner (import "t" (instance)))
  (instance (instantiate $Inner (with "t" (instance $types)))))"""


def test_where_the_reading_of_payloads_cannot_be_changed_tensors_are(engine: Engine) -> None:
    """The interface of buffers is handed on to another component."""
    made = functions(Component(engine.native(), in_place(to_binary(HANDED_ON))), engine.native(), exported=False)
    assert set(made) == {"wasm-graph:processor/types@1.1.0", f"flowrt:nn/tensor@{NN_NEWER}"}


def test_a_component_with_two_memories_is_left_as_it_is() -> None:
    two = to_binary(text(NN_NEWER).replace("(core module $Main", "(core module (memory 1))\n(core module $Main", 1))
    assert in_place(two) == two


def test_an_interface_that_is_handed_on_is_left_as_it_is() -> None:
    handed = text(NN_NEWER).removesuffix(")") + '\n(export "again" (instance $nn-tensors)))'
    binary = to_binary(handed)
    assert in_place(binary) == binary


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, len(BINARY)), at=st.integers(8, len(BINARY) - 1), byte=st.integers(0, 255))
def test_damage_never_raises(cut: int, at: int, byte: int) -> None:
    in_place(BINARY[:cut])
    in_place(BINARY[:at] + bytes((byte,)) + BINARY[at + 1 :])
