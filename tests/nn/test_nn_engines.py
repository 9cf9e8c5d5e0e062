"""What every engine promises, shown by each that is installed on the same small networks."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from nn_engines import ENGINES, Made, engine_params, expected, openvino_ir, torchscript
from nn_models import double

from flowrt.graph.facts import ModelFacts
from flowrt.graph.plan import ModelUse
from flowrt.nn.faults import ModelFault
from flowrt.nn.inspect import inspect_model
from flowrt.nn.registry import Models
from flowrt.operators.inference import ModelOptions

pytestmark = pytest.mark.parametrize("engine", engine_params())

ROWS = np.random.default_rng(1).normal(size=(5, 16)).astype("f4")


def network(engine: str) -> Made:
    return ENGINES[engine][1]()


def two(engine: str) -> Made:
    """Two inputs and two outputs."""
    return ENGINES[engine][2]()


def scalar(engine: str) -> Made:
    """x + x of a single value."""
    onnx = double(dims=())
    if engine == "tflite":
        import tflite_models

        return Made("tensorflowlite", ".tflite", (tflite_models.double("float32", ()),))
    if engine == "pytorch":
        import torch

        class Double(torch.nn.Module):
            def forward(self, x):
                return x + x

        return torchscript(Double(), "x: f32[]")
    return openvino_ir(onnx) if engine == "openvino-ir" else Made(network(engine).encoding, ".onnx", (onnx,))


def use(engine: str, folder: Path) -> ModelUse:
    """The network as a file of `folder`, as an operation declares it."""
    made = network(engine)
    path = made.write(folder)
    facts = inspect_model(path, made.encoding)
    assert isinstance(facts, ModelFacts), facts
    return ModelUse("m", facts, "cpu", ModelOptions(path=str(path), inputs=made.inputs))


def test_it_computes_what_numpy_computes(engine: str) -> None:
    session = network(engine).load()
    [found] = session.run([ROWS])
    np.testing.assert_allclose(found, expected(ROWS), rtol=1e-4, atol=1e-4)
    assert [str(slot).partition(":")[2] for slot in (*session.inputs, *session.outputs)] == [
        " f32[N, 16]" if "onnx" in engine or engine == "pytorch" else " f32[?, 16]",
        " f32[N, 16]" if engine == "onnx" else " f32[?, 16]",
    ]


def test_any_number_of_rows_is_a_batch_also_none(engine: str) -> None:
    session = network(engine).load()
    for rows in (1, 5, 0, 3):
        [found] = session.run([ROWS[:rows]])
        np.testing.assert_allclose(found, expected(ROWS[:rows]), rtol=1e-4, atol=1e-4)


def test_bound_arrays_give_the_same(engine: str) -> None:
    """Where the engine binds arrays at all."""
    prepared = network(engine).load().prepare([(5, 16)], [(5, 16)])
    assert (prepared is not None) == ("onnx" in engine or "openvino" in engine)
    for factor in (1, 2) if prepared is not None else ():
        prepared.inputs[0][:] = ROWS * factor
        prepared.run()
        np.testing.assert_allclose(prepared.outputs[0], expected(ROWS * factor), rtol=1e-4, atol=1e-4)


def test_several_inputs_and_outputs_keep_their_order(engine: str) -> None:
    session = two(engine).load()
    total, product = session.run([np.array([1, 2], "f4"), np.array([10, 20], "f4")])
    assert (total.tolist(), product.tolist()) == ([11, 22], [10, 40])
    assert [slot.name for slot in session.inputs] == ["a", "b"]


def test_a_scalar_stays_a_scalar(engine: str) -> None:
    session = scalar(engine).load()
    [found] = session.run([np.array(3, "f4")])
    assert (found.shape, float(found)) == ((), 6.0)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 5), "f4"), r"was given float32\[2, 5\]"),
        (np.zeros((2, 16), "f8"), r"was given float64\[2, 16\]"),
        (np.zeros(16, "f4"), r"was given float32\[16\]"),
    ],
)
def test_a_tensor_that_does_not_fit_is_told_with_both_sides(engine: str, array: np.ndarray, words: str) -> None:
    session = network(engine).load()
    name = session.inputs[0].name
    for _ in range(2):
        with pytest.raises(ModelFault, match=rf"input {name}: f32\[., 16\] {words}") as caught:
            session.run([array])
        assert caught.value.kind == "shape"
    [found] = session.run([ROWS])
    np.testing.assert_allclose(found, expected(ROWS), rtol=1e-4, atol=1e-4)


def test_many_threads_run_one_model(engine: str) -> None:
    session, good = network(engine).load(), []

    def work(seed: int) -> None:
        rows = ROWS[: seed + 1] * seed
        good.append(all(np.allclose(session.run([rows])[0], expected(rows), rtol=1e-3, atol=1e-3) for _ in range(50)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert good == [True, True, True]


def test_what_was_released_says_so_and_holds_nothing(engine: str) -> None:
    session = network(engine).load()
    assert session.memory_bytes() >= 6000  # 1,600 weights of f32
    session.close()
    session.close()
    assert session.memory_bytes() == 0
    with pytest.raises(ModelFault, match="was released"):
        session.run([ROWS])


@pytest.mark.parametrize("target", ["tpu", "elsewhere"])
def test_a_target_that_is_not_there_is_refused_with_those_that_are(engine: str, target: str) -> None:
    with pytest.raises(ModelFault, match=rf"(?i)asks for target {target}; .*cpu") as caught:
        network(engine).load(target)
    assert caught.value.code == "unsupported-operation"


def test_rows_of_an_operation_run_in_batches(engine: str, tmp_path: Path) -> None:
    models = Models()
    loaded = models.rows(use(engine, tmp_path))
    assert [tensor.shape for tensor in (*loaded.row_inputs, *loaded.row_outputs)] == [(16,), (16,)]
    found = np.stack([np.frombuffer(row, "<f4") for row in loaded.run_rows([row.tobytes() for row in ROWS])])
    np.testing.assert_allclose(found, expected(ROWS), rtol=1e-4, atol=1e-4)
    loaded.close()
    models.close()


def test_the_file_is_told_for_what_it_is_and_truncated_ones_are_refused(engine: str, tmp_path: Path) -> None:
    made = network(engine)
    whole = len(made.parts[0])
    for length in (0, 3, 8, 64, whole // 2, whole - 9):
        with pytest.raises(ModelFault) as caught:
            made.cut(length).load()
        assert caught.value.code in {"invalid-encoding", "runtime-error", "security", "invalid-argument"}, length


@pytest.mark.parametrize("parts", [(b"",), (b"what is this?",), (b"PK\x03\x04",), (b"GGUF",), (bytes(5000),)])
def test_what_is_no_model_is_refused_in_words(engine: str, parts: tuple[bytes, ...]) -> None:
    made = network(engine)
    with pytest.raises(ModelFault, match="'m'"):
        Made(made.encoding, made.suffix, (*parts, *made.parts[1:])).load()
