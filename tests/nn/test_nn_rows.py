"""Rows of bytes through a model: what is batched, what is not, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nn_models import BOOL, F16, F32, F64, I8, I64, U8, autoencoder, double, model, node, use

from flowrt.errors import NodeFault
from flowrt.message import Tensor
from flowrt.nn.model import LoadedModel
from flowrt.nn.registry import Models

Load = Callable[[bytes], LoadedModel]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    models = Models()
    yield lambda data: models.rows(use(tmp_path, data))
    models.close()


def f32(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


def ints(*values: int) -> bytes:
    return np.array(values, "<i8").tobytes()


def test_rows_of_a_free_batch_are_one_run(load: Load) -> None:
    doubled = load(double())
    assert doubled.inputs == (Tensor("x", "f32", (-1, 3)),)
    assert doubled.row_inputs == (Tensor("x", "f32", (3,)),)
    assert doubled.row_outputs == (Tensor("y", "f32", (3,)),)
    assert doubled.run_rows([f32(1, 2, 3), f32(4, 5, 6)]) == [f32(2, 4, 6), f32(8, 10, 12)]


def test_no_rows_give_no_rows(load: Load) -> None:
    assert load(double()).run_rows([]) == []


def test_a_fixed_first_dimension_is_no_batch_and_rows_run_one_by_one(load: Load) -> None:
    doubled = load(double(dims=(2, 2)))
    assert doubled.row_inputs == (Tensor("x", "f32", (2, 2)),)
    assert doubled.run_rows([f32(1, 2, 3, 4), f32(5, 6, 7, 8)]) == [f32(2, 4, 6, 8), f32(10, 12, 14, 16)]


@pytest.mark.parametrize(("kind", "dtype"), [(F16, "f2"), (F64, "f8"), (U8, "u1"), (I8, "i1"), (I64, "i8")])
def test_every_type_keeps_its_bytes(load: Load, kind: int, dtype: str) -> None:
    rows = [np.array([1, 2, 3], dtype).tobytes(), np.array([4, 5, 6], dtype).tobytes()]
    expected = [np.array([2, 4, 6], dtype).tobytes(), np.array([8, 10, 12], dtype).tobytes()]
    assert load(model([node("Sum", "x x", "y")] if dtype in {"f2", "f8"} else [node("Add", "x x", "y")],
                      [("x", kind, ["N", 3])], [("y", kind, ["N", 3])])).run_rows(rows) == expected  # fmt: skip


def test_bytes_other_than_0_and_1_are_true(load: Load) -> None:
    negation = load(model([node("Not", "x", "y")], [("x", BOOL, ["N", 3])], [("y", BOOL, ["N", 3])]))
    assert negation.run_rows([b"\x00\x01\xff", b"\x80\x00\x00"]) == [b"\x01\x00\x00", b"\x00\x01\x01"]


def test_several_inputs_and_outputs_lie_one_after_the_other(load: Load) -> None:
    both = model(
        [node("Add", "a a", "sum"), node("Identity", "b", "same")],
        [("a", F32, ["N", 2]), ("b", I64, ["N", 1])],
        [("same", I64, ["N", 1]), ("sum", F32, ["N", 2])],
    )
    rows = [f32(1, 2) + ints(7), f32(3, 4) + ints(8)]
    assert load(both).run_rows(rows) == [ints(7) + f32(2, 4), ints(8) + f32(6, 8)]


def test_rows_longer_or_shorter_than_the_model_takes_are_told_with_both_sizes(load: Load) -> None:
    doubled = load(double())
    with pytest.raises(NodeFault, match=r"takes 12 bytes a message \(x: f32\[3\]\), not 8 bytes") as caught:
        doubled.run_rows([f32(1, 2, 3), f32(1, 2)])
    assert caught.value.kind == "shape"


def test_rows_whose_lengths_only_add_up_are_refused(load: Load) -> None:
    with pytest.raises(NodeFault, match="not 8 bytes"):
        load(double()).run_rows([f32(1, 2), f32(1, 2, 3, 4)])


def test_a_free_dimension_is_told_by_the_rows_length(load: Load) -> None:
    doubled = load(double(dims=("N", "T", 2)))
    rows = [f32(1, 2), f32(1, 2, 3, 4), f32(5, 6)]
    assert doubled.row_inputs == (Tensor("x", "f32", (-1, 2)),)
    assert doubled.run_rows(rows) == [f32(2, 4), f32(2, 4, 6, 8), f32(10, 12)]


def test_inputs_that_share_a_free_dimension_share_the_row(load: Load) -> None:
    added = load(model([node("Add", "a b", "y")], [(n, F32, ["N", "T"]) for n in "ab"], [("y", F32, ["N", "T"])]))
    assert added.run_rows([f32(1, 2, 10, 20), f32(3, 30)]) == [f32(11, 22), f32(33)]


def test_an_input_behind_an_odd_number_of_bytes(load: Load) -> None:
    graph = model(
        [node("Identity", "a", "same"), node("Add", "b b", "sum")],
        [("a", U8, ["N", 3]), ("b", F32, ["N", "T"])],
        [("same", U8, ["N", 3]), ("sum", F32, ["N", "T"])],
    )
    rows = [b"abc" + f32(1, 2), b"def" + f32(3), b"ghi" + f32(4), b"jkl"]
    assert load(graph).run_rows(rows) == [b"abc" + f32(2, 4), b"def" + f32(6), b"ghi" + f32(8), b"jkl"]


@pytest.mark.parametrize(
    ("dims", "row", "words"),
    [
        (("N", "T", 2), f32(1, 2, 3), "takes a payload a message"),
        (("N", "T", "U"), f32(1, 2), "does not say the size of T, U"),
        (("N", "N"), f32(1, 2), "does not say the size of N"),
    ],
)
def test_a_row_that_leaves_the_shape_open_is_refused(load: Load, dims: tuple[str, ...], row: bytes, words: str) -> None:
    with pytest.raises(NodeFault, match=words) as caught:
        load(double(dims=dims)).run_rows([row])
    assert caught.value.kind == "shape"


def test_a_model_whose_output_belongs_to_the_run_takes_one_row_a_run(load: Load) -> None:
    """The mean over the batch must be each message's own."""
    mean = load(model([node("ReduceMean", "x", "y", keepdims=0)], [("x", F32, ["N", 2])], [("y", F32, [])]))
    assert mean.row_outputs == (Tensor("y", "f32", ()),)
    assert mean.run_rows([f32(1, 3), f32(10, 30)]) == [f32(2), f32(20)]


def test_a_free_output_extent_that_is_not_the_batch_is_found_out(load: Load) -> None:
    """Declared as [M, 2], it looks like a batch; it is the coordinates of what is not zero."""
    graph = model(
        [node("NonZero", "x", "t"), node("Transpose", "t", "y", perm=[1, 0])],
        [("x", F32, ["N", 2])],
        [("y", I64, ["M", 2])],
    )
    assert load(graph).run_rows([f32(1, 1), f32(0, 5)]) == [ints(0, 0, 0, 1), ints(0, 1)]


def test_a_model_that_only_claims_a_free_batch_runs_row_by_row(load: Load) -> None:
    """Exporters free a dimension that a Reshape inside has fixed."""
    stuck = model(
        [node("Reshape", "x shape", "y")],
        [("x", F32, ["N", 4])],
        [("y", F32, ["N", 2, 2])],
        shape=np.array([1, 2, 2], "i8"),
    )
    assert load(stuck).run_rows([f32(1, 2, 3, 4), f32(5, 6, 7, 8)]) == [f32(1, 2, 3, 4), f32(5, 6, 7, 8)]


def test_a_failing_operator_is_named(load: Load) -> None:
    table = np.arange(8, dtype="f4").reshape(4, 2)
    graph = model(
        [node("Gather", "table x", "y", name="look-up")], [("x", I64, ["N"])], [("y", F32, ["N", 2])], table=table
    )
    look_up = load(graph)
    assert look_up.run_rows([ints(3), ints(1)]) == [f32(6, 7), f32(2, 3)]
    with pytest.raises(
        NodeFault, match=r"model 'm.onnx': operator Gather 'look-up' failed: .*out of data bounds"
    ) as caught:
        look_up.run_rows([ints(1), ints(9)])
    assert caught.value.kind == "inference"
    assert look_up.run_rows([ints(0)]) == [f32(0, 1)]


def test_scalars_go_through(load: Load) -> None:
    assert load(double(dims=())).run_rows([f32(1), f32(2)]) == [f32(2), f32(4)]


def test_an_output_of_undeclared_shape_is_split_as_it_comes(load: Load) -> None:
    doubled = load(double(dims=("N", 40_000)))
    row = np.ones(40_000, "f4")
    assert doubled.run_rows([row.tobytes(), (3 * row).tobytes()]) == [(2 * row).tobytes(), (6 * row).tobytes()]


def test_the_engine_writes_nothing_to_our_stderr(load: Load, capfd: pytest.CaptureFixture[str]) -> None:
    """It would like to warn that the shape came out otherwise than declared."""
    wrong = model([node("NonZero", "x", "y")], [("x", F32, [4])], [("y", I64, [1, 3])])
    assert load(wrong).run_rows([f32(1, 1, 1, 1)]) == [ints(0, 1, 2, 3)]
    assert capfd.readouterr() == ("", "")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(0, 300), seed=st.integers(0, 2**32 - 1))
def test_any_batch_equals_the_engine_row_by_row(
    autoencoder_pair: tuple[LoadedModel, object], rows: int, seed: int
) -> None:
    ours, engine = autoencoder_pair
    matrix = np.random.default_rng(seed).normal(size=(rows, 16)).astype("f4")
    found = [np.frombuffer(row, "<f4") for row in ours.run_rows([row.tobytes() for row in matrix])]
    expected = [engine.run(None, {"x": row[None]})[0][0] for row in matrix]  # type: ignore[attr-defined]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def autoencoder_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LoadedModel, object]]:
    models = Models()
    engine = onnxruntime.InferenceSession(autoencoder(), providers=["CPUExecutionProvider"])
    yield models.rows(use(tmp_path_factory.mktemp("models"), autoencoder())), engine
    models.close()
