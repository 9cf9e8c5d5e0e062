"""A declared fallback: which of the two runs, why, and that each use is counted; for operations and for guests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from nn_component import Guest as Component
from nn_guest import Guest
from nn_models import F32, double, facts_of, model, node

from flowrt.errors import NodeFault
from flowrt.graph.plan import ModelUse
from flowrt.nn.doors.component import ComponentDoor
from flowrt.nn.doors.node import NodeDoor
from flowrt.nn.fallback import LONGEST_PAUSE, Choice
from flowrt.nn.faults import ModelFault
from flowrt.nn.registry import Models
from flowrt.operators.inference import FallbackOptions, ModelOptions
from flowrt.values import replace
from flowrt.wasm.engine import Engine

ROW = np.array([[1, 2, 3]], "f4")
NEGATED, DOUBLED = (-ROW).tobytes(), (2 * ROW).tobytes()


def negative() -> bytes:
    return model([node("Neg", "x", "y")], [("x", F32, ["N", 3])], [("y", F32, ["N", 3])])


@pytest.fixture
def models() -> Iterator[Models]:
    models = Models()
    yield models
    assert len(models) == 0
    models.close()


@pytest.fixture
def use(tmp_path: Path) -> ModelUse:
    """A model that doubles, whose fallback negates."""
    (tmp_path / "m.onnx").write_bytes(double())
    (tmp_path / "f.onnx").write_bytes(negative())
    written = ModelOptions(path="m.onnx", fallback=FallbackOptions.model_validate({"path": "f.onnx", "after": "50ms"}))
    instead = ModelUse("m", facts_of(tmp_path / "f.onnx"), "cpu", written.fallback)
    return ModelUse("m", facts_of(tmp_path / "m.onnx"), "cpu", written, instead)


# Which of the two, on a clock of our own.


class Runs:
    """A model that takes as long as is said, and its fallback."""

    def __init__(self, after: float) -> None:
        self.now = 0.0
        self.took = 0.0
        self.said: list[str] = []
        self.wrong: NodeFault | None = None
        self.choice = Choice(after, self.said.append, lambda: self.now)

    def run(self) -> str:
        return self.choice.run(self._here, self._there, 3)

    def _here(self) -> str:
        self.now += self.took
        return "here"

    def _there(self) -> str:
        if self.wrong is not None:
            raise self.wrong
        return "there"


def test_a_slow_model_rests_ever_longer_and_is_tried_again() -> None:
    runs = Runs(after=0.05)
    assert [runs.run(), runs.run()] == ["here", "here"]
    runs.took, pauses = 1 / 16, []
    assert runs.run() == "here"  # the run that shows it; its answer is used
    for _ in range(8):
        began = runs.now
        while runs.run() == "there":
            runs.now += 0.25
        pauses.append(runs.now - began - runs.took)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, LONGEST_PAUSE]
    assert runs.choice.counts == {"time": 3 * 4 * sum(map(int, pauses))}
    assert runs.said[0] == "a run took 0.062 s, more than 0.05 s: its fallback runs for 1 s"


def test_a_model_that_is_fast_again_is_forgiven() -> None:
    runs = Runs(after=0.05)
    for _ in range(2):
        runs.took = 0.06
        assert [runs.run(), runs.run()] == ["here", "there"]
        runs.now += 1.0
        runs.took = 0.0
        assert runs.run() == "here"
    assert runs.said[1].endswith("runs for 1 s")


def test_slow_is_better_than_not_at_all() -> None:
    runs = Runs(after=0.05)
    runs.took = 0.06
    assert runs.run() == "here"
    runs.wrong = ModelFault("timeout", "the server does not answer")
    assert runs.run() == "here"
    assert runs.choice.counts == {}
    assert "back to the slow model" in runs.said[1]


# For guests, who name the model and know of no fallback.


def core(door: NodeDoor) -> Callable[[], bytes]:
    guest = Guest(door.core())
    context = guest.context()

    def run() -> bytes:
        assert guest.set_input(context, ROW) == guest.call("compute", context) == 0
        return guest.output(context)

    return run


def test_a_guest_has_the_fallback_where_the_engine_lacks(models: Models, use: ModelUse) -> None:
    said: list[str] = []
    door = NodeDoor(models, [replace(use, target="npu")], memory=1 << 20, report=said.append)
    door.warm_up()
    for instance in (1, 2):
        run = core(door)
        assert [run() for _ in range(4)] == [NEGATED] * 4
        assert door.runs["m"].fallbacks == {"engine": 4 * instance}
    assert "does not run here (engine); its fallback does" in said[0]
    door.close()


def test_a_guest_has_the_fallback_where_the_model_is_too_large(models: Models, use: ModelUse) -> None:
    large = Path(use.facts.path).with_name("large.onnx")
    nodes = [node("ReduceSum", "w", "s", keepdims=0), node("Add", "x x", "d"), node("Add", "d s", "y")]
    large.write_bytes(model(nodes, [("x", F32, ["N", 3])], [("y", F32, ["N", 3])], w=np.zeros(4096, "f4")))
    for memory, answer, counts in ((1 << 20, DOUBLED, {}), (8192, NEGATED, {"memory": 1})):
        door = NodeDoor(models, [replace(use, facts=facts_of(large))], memory=memory, report=lambda _: None)
        assert core(door)() == answer
        assert door.runs["m"].fallbacks == counts
        door.close()


def test_a_guest_has_the_model_itself_where_it_runs(models: Models, use: ModelUse) -> None:
    door = NodeDoor(models, [use], memory=1 << 20, report=lambda _: None)
    door.warm_up()
    door._choices["m"]._after = 1e9
    run = core(door)
    assert [run() for _ in range(4)] == [DOUBLED] * 4
    assert door.runs["m"].fallbacks == {}
    door.close()


def test_a_component_has_the_fallback_too(models: Models, use: ModelUse) -> None:
    engine = Engine()
    door = NodeDoor(models, [replace(use, target="npu")], memory=1 << 24, report=lambda _: None)
    door.component([])
    inner = door._door
    assert isinstance(inner, ComponentDoor)
    guest = Component(engine, inner)
    made = guest.compute(guest.context(), x=guest.tensor(ROW))
    assert isinstance(made, dict)
    assert guest.data(made["y"]) == NEGATED
    assert door.runs["m"].fallbacks == {"engine": 1}
    guest.close()
    door.close()
    engine.close()


def test_a_broken_model_is_no_reason(models: Models, use: ModelUse) -> None:
    broken = Path(use.facts.path).with_name("broken.onnx")
    broken.write_bytes(model([node("NoSuchThing", "x", "y")], [("x", F32, ["N", 3])], [("y", F32, ["N", 3])]))
    door = NodeDoor(models, [replace(use, facts=facts_of(broken))], memory=1 << 20, report=lambda _: None)
    with pytest.raises(ModelFault, match="NoSuchThing"):
        door.warm_up()
    door.close()


def test_a_fallback_that_takes_other_tensors_is_refused(models: Models, use: ModelUse) -> None:
    other = Path(use.facts.path).with_name("other.onnx")
    other.write_bytes(double(dims=("N", 4)))
    wrong = replace(use, fallback=ModelUse("m", facts_of(other)))
    door = NodeDoor(models, [wrong], memory=1 << 20, report=lambda _: None)
    with pytest.raises(ModelFault, match=r"takes x: f32\[\?, 3\], and its fallback x: f32\[\?, 4\]"):
        door.warm_up()
    door.close()
