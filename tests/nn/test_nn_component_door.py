"""The component door: what works in both revisions of `wasi:nn`, and what every wrong argument is answered with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from nn_component import Guest
from nn_models import F32, I8, I64, double, external, model, node, use

from flowrt.errors import GuestTrap
from flowrt.graph.worlds import NN_NEWER, NN_OLDER
from flowrt.nn.doors.component import MAX_HANDLES, ComponentDoor
from flowrt.nn.doors.holdings import MAX_CONTEXTS, MAX_GRAPHS, Holdings
from flowrt.nn.registry import Models
from flowrt.wasm.engine import Engine

ROW = np.array([[1, 2, 3]], "f4")
MEMORY = 1 << 20
WRONG = "invalid-argument: model 'm.onnx': input x: f32[N, 3] was given "

Enter = Callable[..., Guest]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def models() -> Iterator[Models]:
    models = Models()
    yield models
    models.close()


@pytest.fixture
def words() -> list[str]:
    return []


@pytest.fixture
def enter(tmp_path: Path, engine: Engine, models: Models, words: list[str]) -> Iterator[Enter]:
    """`enter(model, …)` makes a guest; in the end nothing of it is left."""
    made: list[tuple[ComponentDoor, Guest]] = []

    def enter(*files: bytes, revision: str = NN_NEWER, memory: int = MEMORY) -> Guest:
        uses = [use(tmp_path, data, "m" if not at else f"m{at}") for at, data in enumerate(files)]
        door = ComponentDoor(Holdings(models, uses, memory, words.append))
        made.append((door, Guest(engine, door, revision)))
        return made[-1][1]

    yield enter
    for door, guest in made:
        guest.close()
        door.close()
        door.close()
        assert door.memory_bytes() == 0
    assert len(models) == 0


def test_a_guest_runs_a_model_it_names(enter: Enter) -> None:
    guest = enter(double())
    outputs = guest.compute(guest.context(), x=guest.tensor(ROW))
    assert list(outputs) == ["y"]
    assert guest.dims(outputs["y"]) == [1, 3]
    assert np.frombuffer(guest.data(outputs["y"]), "f4").tolist() == [2, 4, 6]


def test_the_older_revision_sets_inputs_and_takes_outputs_one_by_one(enter: Enter) -> None:
    guest = enter(double(), revision=NN_OLDER)
    context, name = guest.context(), guest.put(b"x")
    assert guest.told("set", context, name, 1, guest.tensor(ROW)) >= 0
    assert guest.told("compute", context) >= 0
    output = guest.told("get", context, guest.put(b"y"), 1)
    assert guest.data(output) == (2 * ROW).tobytes()
    assert (
        guest.told("get", context, guest.put(b"z"), 1) == "invalid-argument: model 'm.onnx' has no output 'z'; it has y"
    )


def test_a_guest_runs_a_model_it_brings(enter: Enter) -> None:
    guest = enter()
    graph = guest.load(double(), encoding="autodetect")
    outputs = guest.compute(guest.told("start", graph), x=guest.tensor(ROW))
    assert guest.data(outputs["y"]) == (2 * ROW).tobytes()


def test_an_output_is_an_input_again_without_crossing(enter: Enter) -> None:
    guest = enter(double())
    context, tensor = guest.context(), guest.tensor(ROW)
    for _ in range(5):
        tensor = guest.compute(context, x=tensor)["y"]
    assert guest.data(tensor) == (32 * ROW).tobytes()


def test_several_inputs_by_name_or_index_and_all_outputs(enter: Enter) -> None:
    guest = enter(
        model(
            [node("Add", "a b", "sum"), node("Sub", "a b", "difference")],
            [("a", F32, [2]), ("b", F32, [2])],
            [("sum", F32, [2]), ("difference", F32, [2])],
        )
    )
    inputs = {"1": guest.tensor(np.array([1, 1], "f4")), "a": guest.tensor(np.array([3, 4], "f4"))}
    outputs = guest.compute(guest.context(), **inputs)
    assert {name: np.frombuffer(guest.data(tensor), "f4").tolist() for name, tensor in outputs.items()} == {
        "sum": [4, 5],
        "difference": [2, 3],
    }


@pytest.mark.parametrize(("kind", "dtype", "ty"), [(F32, "f4", "FP32"), (I64, "i8", "I64"), (I8, "i1", "U8")])
def test_types(enter: Enter, kind: int, dtype: str, ty: str) -> None:
    guest = enter(double(kind, (3,)))
    outputs = guest.compute(guest.context(), x=guest.tensor(np.array([1, 2, 3], dtype), ty))
    assert guest.data(outputs["y"]) == np.array([2, 4, 6], dtype).tobytes()
    assert guest.call("type", outputs["y"]) == ["FP16", "FP32", "FP64", "BF16", "U8", "I32", "I64"].index(ty)


def test_scalars_and_empty_batches(enter: Enter) -> None:
    guest = enter(double(dims=()), double())
    scalar = guest.compute(guest.context("m"), x=guest.tensor(np.float32(4)))["y"]
    empty = guest.compute(guest.context("m1"), x=guest.tensor(np.zeros((0, 3), "f4")))["y"]
    assert (guest.dims(scalar), guest.data(scalar)) == ([], np.float32(8).tobytes())
    assert (guest.dims(empty), guest.data(empty)) == ([0, 3], b"")


@pytest.mark.parametrize(
    ("dims", "ty", "size", "told"),
    [
        ([1, 4], "FP32", 16, WRONG + "f32[1, 4]"),
        ([1, 3], "I32", 12, WRONG + "i32[1, 3]"),
        (
            [1, 3],
            "FP32",
            8,
            WRONG + "f32[1, 3] in 8 bytes, not 12",
        ),
        (
            [2**32 - 1, 3],
            "FP32",
            12,
            WRONG + "f32[4294967295, 3]",
        ),
        ([1] * 33, "FP32", 4, "invalid-argument: a tensor of 33 dimensions; at most 32"),
        ([2**20], "U8", 2**20, "too-large: a tensor u8[1048576] of 1049088 bytes: 0 of the node's 1048576 are in use"),
    ],
)
def test_tensors_that_do_not_fit(enter: Enter, dims: list[int], ty: str, size: int, told: str) -> None:
    guest = enter(double())
    context = guest.context()
    assert guest.compute(context, x=guest.made(dims, ty, bytes(size))).startswith(told)
    assert guest.data(guest.compute(context, x=guest.tensor(ROW))["y"]) == (2 * ROW).tobytes()


def test_every_run_names_all_its_inputs(enter: Enter, words: list[str]) -> None:
    guest = enter(double())
    context = guest.context()
    assert isinstance(guest.compute(context, x=guest.tensor(ROW)), dict)
    assert guest.compute(context) == "invalid-argument: model 'm.onnx': not given: x: f32[N, 3]"
    assert guest.compute(context, y=guest.tensor(ROW)).startswith("invalid-argument: model 'm.onnx' has no input 'y'")
    assert words[0] == "compute: invalid-argument: model 'm.onnx': not given: x: f32[N, 3]"


@pytest.mark.parametrize(
    ("parts", "encoding", "target", "told"),
    [
        ([b"not a model"], "onnx", "cpu", "invalid-encoding"),
        ([b"not a model"], "autodetect", "cpu", "invalid-encoding"),
        ([], "onnx", "cpu", "invalid-argument"),
        ([b""], "onnx", "cpu", "invalid-encoding"),
        ([double()[:-30]], "onnx", "cpu", "invalid-encoding"),
        ([double()], "onnx", "tpu", "unsupported-operation"),
        ([double(), b"x"], "onnx", "cpu", "invalid-argument"),
        ([bytes(MEMORY + 1)], "onnx", "cpu", "too-large"),
    ],
)
def test_what_cannot_be_loaded(enter: Enter, parts: list[bytes], encoding: str, target: str, told: str) -> None:
    found = enter().load(*parts, encoding=encoding, target=target)
    assert isinstance(found, str)
    assert found.partition(":")[0] == told


def test_a_model_in_bytes_may_not_name_files(enter: Enter, tmp_path: Path) -> None:
    assert enter().load(external(tmp_path, "/etc/passwd").read_bytes()).startswith("security: ")


def test_names_that_are_not_there(enter: Enter) -> None:
    guest = enter(double())
    assert guest.load_by_name("other") == "not-found: the node has no model named 'other'; it has m"
    assert guest.load_by_name("") == "not-found: the node has no model named ''; it has m"


def test_too_many_graphs_and_contexts_are_refused_until_some_are_dropped(enter: Enter) -> None:
    guest = enter(double())
    graphs = [guest.load_by_name("m") for _ in range(MAX_GRAPHS)]
    assert guest.load_by_name("m").startswith("too-large: 64 graphs are open")
    contexts = [guest.told("start", graphs[0]) for _ in range(MAX_CONTEXTS)]
    assert guest.told("start", graphs[0]).startswith("too-large: 1024 contexts are open")
    guest.call("drop-graph", graphs[1])
    guest.call("drop-context", contexts[0])
    assert isinstance(guest.load_by_name("m"), int)
    assert isinstance(guest.told("start", graphs[0]), int)


def test_a_context_outlives_its_graph(enter: Enter, models: Models) -> None:
    guest = enter(double())
    graph = guest.load_by_name("m")
    context = guest.told("start", graph)
    guest.call("drop-graph", graph)
    assert isinstance(guest.compute(context, x=guest.tensor(ROW)), dict)
    guest.call("drop-context", context)
    assert len(models) == 0


def test_tensors_give_their_bytes_back_when_they_are_dropped_or_used(enter: Enter, engine: Engine) -> None:
    holdings = Holdings(Models(), [], MEMORY, lambda _: None)
    guest = Guest(engine, ComponentDoor(holdings))
    dropped = guest.made([1000], "U8", bytes(1000))
    assert holdings.budget.used > 1000
    guest.call("drop-tensor", dropped)
    assert holdings.budget.used == 0
    guest.close()


def test_an_endless_number_of_tensors_ends_the_instance(enter: Enter) -> None:
    guest = enter(memory=1 << 30)
    dims = guest.put(bytes(4))
    for _ in range(MAX_HANDLES):
        guest.call("new", dims, 0, 1, dims, 4)
    with pytest.raises(GuestTrap, match="memory: it keeps 4096 resources of wasi:nn"):
        guest.call("new", dims, 0, 1, dims, 4)


@pytest.mark.parametrize("call", ["data", "drop-tensor", "start", "drop-graph", "drop-context", "code"])
def test_a_handle_that_is_not_there_ends_the_instance(enter: Enter, call: str) -> None:
    guest = enter(double())
    with pytest.raises(GuestTrap, match="unknown handle index 77"):
        guest.call(call, 77, guest.result)


def test_a_tensor_that_was_given_away_ends_the_instance(enter: Enter) -> None:
    guest = enter(double())
    context, tensor = guest.context(), guest.tensor(ROW)
    guest.compute(context, x=tensor)
    guest.tensor(ROW)
    with pytest.raises(GuestTrap):
        guest.compute(context, x=tensor + 1000)


def test_lists_that_lie_outside_memory_end_the_instance(enter: Enter) -> None:
    guest = enter()
    with pytest.raises(GuestTrap):
        guest.call("new", 0xFFFF_FFF0, 2**30, 1, 0, 4)


def test_two_gigabytes_end_the_instance_and_not_the_host(enter: Enter) -> None:
    guest = enter()
    with pytest.raises(GuestTrap):
        guest.call("new", 0, 0, 1, 0, 2**31 - 1)


def test_a_large_tensor_is_not_read_beyond_the_nodes_memory(engine: Engine) -> None:
    holdings = Holdings(Models(), [], 1 << 24, lambda _: None)
    guest = Guest(engine, ComponentDoor(holdings), memory=1 << 24, in_place=False)
    tensor = guest.made([2**20], "U8", bytes(2**20))
    with pytest.raises(GuestTrap, match="memory: reading a tensor of 1Mi takes 72Mi while it crosses"):
        guest.data(tensor)
    guest.close()
