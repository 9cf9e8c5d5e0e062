"""bfloat16 through ONNX Runtime: numpy does not have it, so its bits travel, and none is lost at any door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from nn_component import Guest as Component
from nn_guest import Guest
from nn_models import F32, model, node, use
from onnx import TensorProto

from flowrt.nn.backend import Source
from flowrt.nn.backends.onnx import OnnxBackend
from flowrt.nn.doors.component import ComponentDoor
from flowrt.nn.doors.node import NodeDoor
from flowrt.nn.registry import Models
from flowrt.wasm.engine import Engine

BF16 = TensorProto.BFLOAT16
VALUES = np.array([[1, 2, -3], [0.5, 0, -0.25]], "<f4")
BITS = (VALUES.view("<u4") >> 16).astype("<u2")
DIMS = ("N", 3)
SAME = model([node("Identity", "x", "y")], [("x", BF16, DIMS)], [("y", BF16, DIMS)])


@pytest.fixture
def models() -> Iterator[Models]:
    models = Models()
    yield models
    models.close()


@pytest.mark.parametrize(
    ("kinds", "to", "given", "made"),
    [((BF16, F32), TensorProto.FLOAT, BITS, VALUES), ((F32, BF16), BF16, VALUES, BITS)],
)
def test_to_and_from_float(kinds: tuple[int, int], to: int, given: np.ndarray, made: np.ndarray) -> None:
    data = model([node("Cast", "x", "y", to=to)], [("x", kinds[0], DIMS)], [("y", kinds[1], DIMS)])
    session = OnnxBackend().load(Source("m", (data,)), "cpu", 1)
    [found] = session.run([given])
    assert (found.dtype, found.tolist()) == (made.dtype, made.tolist())
    assert session.run([given[:0]])[0].shape == (0, 3)
    session.close()


def test_rows_of_an_operation(tmp_path: Path, models: Models) -> None:
    rows = models.rows(use(tmp_path, SAME))
    assert rows.inputs[0].type == rows.outputs[0].type == "bf16"
    assert rows.run_rows([row.tobytes() for row in BITS]) == [row.tobytes() for row in BITS]
    rows.close()


def test_a_component_has_a_label_for_it(tmp_path: Path, models: Models) -> None:
    engine = Engine()
    door = NodeDoor(models, [use(tmp_path, SAME)], memory=1 << 24, report=print)
    door.component([])
    assert isinstance(door._door, ComponentDoor)
    guest = Component(engine, door._door)
    made = guest.compute(guest.context(), x=guest.tensor(BITS, "BF16"))
    assert isinstance(made, dict)
    assert (guest.data(made["y"]), guest.dims(made["y"])) == (BITS.tobytes(), [2, 3])
    guest.close()
    door.close()
    engine.close()


def test_a_core_module_passes_it_as_bytes(tmp_path: Path, models: Models) -> None:
    """Its ABI has no number for the type."""
    door = NodeDoor(models, [use(tmp_path, SAME)], memory=1 << 20, report=print)
    guest = Guest(door.core())
    context = guest.context()
    for _ in range(4):
        assert guest.set_input(context, BITS, tag=3) == guest.call("compute", context) == 0
        assert guest.output(context) == BITS.tobytes()
    door.close()
