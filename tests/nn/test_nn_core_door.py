"""The core door, called as a guest calls it: what works, and what every wrong argument is answered with."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nn_guest import OUT, SIZE, Guest
from nn_models import BOOL, F32, F64, I8, I64, U8, U32, autoencoder, double, external, model, node, use

from flowrt.nn.doors.core import CoreDoor
from flowrt.nn.doors.holdings import MAX_CONTEXTS, MAX_GRAPHS, Holdings
from flowrt.nn.doors.node import NodeDoor
from flowrt.nn.registry import Models

OK, INVALID_ARGUMENT, INVALID_ENCODING, RUNTIME_ERROR, UNSUPPORTED, TOO_LARGE, NOT_FOUND = 0, 1, 2, 5, 6, 7, 8
MODEL_NOT_FOUND = 103
MEMORY = 1 << 20
NOWHERE = 0xFFFF_FFF0

Enter = Callable[..., Guest]


@pytest.fixture
def models() -> Iterator[Models]:
    models = Models()
    yield models
    models.close()


@pytest.fixture
def words() -> list[str]:
    """Why calls were refused, as the log would have it."""
    return []


@pytest.fixture
def enter(tmp_path: Path, models: Models, words: list[str]) -> Iterator[Enter]:
    doors = []

    def enter(*files: bytes, memory: int = MEMORY) -> Guest:
        uses = [use(tmp_path, data, "m" if not at else f"m{at}") for at, data in enumerate(files)]
        doors.append(CoreDoor(Holdings(models, uses, memory, words.append)))
        return Guest(doors[-1].functions())

    yield enter
    for door in doors:
        door.close()
        door.close()
        assert door.memory_bytes() == 0
    assert len(models) == 0


def f32(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


ROW = np.array([[1, 2, 3]], "f4")
DOUBLED = f32(2, 4, 6)


def test_a_guest_runs_a_model_it_names(enter: Enter) -> None:
    guest = enter(double())
    context = guest.context()
    assert guest.set_input(context, ROW) == OK
    assert guest.call("compute", context) == OK
    assert guest.output(context) == DOUBLED


def test_a_guest_runs_a_model_it_brings(enter: Enter) -> None:
    guest = enter()
    assert guest.load(double()) == OK
    assert guest.call("init_execution_context", guest.result(), OUT) == OK
    context = guest.result()
    assert guest.set_input(context, ROW) == OK
    assert guest.call("compute", context) == OK
    assert guest.output(context) == DOUBLED


def test_inputs_stay_set_and_shapes_may_change(enter: Enter) -> None:
    guest = enter(double())
    context = guest.context()
    for rows in (np.ones((1, 3), "f4"), np.ones((2, 3), "f4"), np.full((2, 3), 5, "f4")):
        assert guest.set_input(context, rows) == OK
        for _ in range(2):
            assert guest.call("compute", context) == OK
            assert guest.output(context) == (2 * rows).tobytes()


def test_an_output_whose_shape_depends_on_the_data(enter: Enter) -> None:
    """After two equal runs arrays are bound; the model declares [1, 3] and means it only at times."""
    guest = enter(model([node("NonZero", "x", "y")], [("x", F32, [4])], [("y", I64, [1, 3])]))
    context = guest.context()
    for row in ([1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]):
        assert guest.set_input(context, np.array(row, "f4")) == OK
        assert guest.call("compute", context) == OK
        assert guest.output(context) == np.flatnonzero(row).astype("i8").tobytes()


def test_a_failed_run_does_not_spoil_the_next(enter: Enter, words: list[str]) -> None:
    table = np.arange(8, dtype="f4").reshape(4, 2)
    guest = enter(
        model([node("Gather", "table x", "y", name="look-up")], [("x", I64, [1])], [("y", F32, [1, 2])], table=table)
    )
    context = guest.context()
    for row, errno in ((1, OK), (1, OK), (2, OK), (9, RUNTIME_ERROR), (3, OK)):
        assert guest.set_input(context, np.array([row], "i8"), 5) == OK
        assert guest.call("compute", context) == errno
    assert guest.output(context) == f32(6, 7)
    assert "operator Gather 'look-up' failed" in words[0]


def test_several_inputs_and_outputs_by_index(enter: Enter) -> None:
    guest = enter(
        model(
            [node("Add", "a b", "sum"), node("Sub", "a b", "difference")],
            [("a", F32, [2]), ("b", F32, [2])],
            [("sum", F32, [2]), ("difference", F32, [2])],
        )
    )
    context = guest.context()
    assert guest.set_input(context, np.array([3, 4], "f4"), index=0) == OK
    assert guest.set_input(context, np.array([1, 1], "f4"), index=1) == OK
    assert guest.call("compute", context) == OK
    assert (guest.output(context, 0), guest.output(context, 1)) == (f32(4, 5), f32(2, 3))


@pytest.mark.parametrize(
    ("kind", "dtype", "tag"),
    [
        (F32, "f4", 1),
        (F64, "f8", 2),
        (U8, "u1", 3),
        (U8, "u1", 2),  # before August 2023
        (I64, "i8", 5),
        (I8, "i1", 3),  # there is no tag for it
        (U32, "u4", 4),
        (U32, "u4", 3),  # i32 before August 2023
    ],
)
def test_types_of_every_generation_of_guests(enter: Enter, kind: int, dtype: str, tag: int) -> None:
    guest = enter(double(kind, (3,)))
    context = guest.context()
    assert guest.set_input(context, np.array([1, 2, 3], dtype), tag) == OK
    assert guest.call("compute", context) == OK
    assert guest.output(context) == np.array([2, 4, 6], dtype).tobytes()


@pytest.mark.parametrize("padding", [0x1010, 0x1042, 0xFFFFFF])
def test_what_lies_beside_the_type_byte_is_ignored(enter: Enter, padding: int) -> None:
    guest = enter(double())
    assert guest.set_input(guest.context(), ROW, padding=padding) == OK


def test_any_byte_but_0_is_true(enter: Enter) -> None:
    guest = enter(model([node("Not", "x", "y")], [("x", BOOL, [3])], [("y", BOOL, [3])]))
    context = guest.context()
    assert guest.set_input(context, np.array([0, 1, 200], "u1"), 3) == OK
    assert guest.call("compute", context) == OK
    assert guest.output(context) == b"\x01\x00\x00"


def test_scalars_and_empty_batches(enter: Enter) -> None:
    guest = enter(double(dims=()), double())
    scalar, empty = guest.context("m"), guest.context("m1")
    assert guest.set_input(scalar, np.float32(4)) == OK
    assert guest.set_input(empty, np.zeros((0, 3), "f4")) == OK
    assert guest.call("compute", scalar) == guest.call("compute", empty) == OK
    assert (guest.output(scalar), guest.output(empty)) == (f32(8), b"")


@pytest.mark.parametrize("encoding", [0, 1, 3, 5, 6])
def test_the_bytes_say_what_they_are_whatever_the_guest_says(enter: Enter, encoding: int) -> None:
    """5 and 6 mean autodetect to some and ggml to others; one old guest gives 3 for everything."""
    assert enter().load(double(), encoding) == OK


@pytest.mark.parametrize(
    ("data", "encoding", "target", "errno"),
    [
        (b"not a model", 1, 0, INVALID_ENCODING),
        (b"", 1, 0, INVALID_ENCODING),
        (b"not a model", 5, 0, INVALID_ENCODING),
        (b"GGUF\x03\x00\x00\x00", 6, 0, INVALID_ENCODING),
        (double()[:-30], 1, 0, INVALID_ENCODING),
        (double(), 99, 0, INVALID_ENCODING),
        (double(), 1, 3, INVALID_ARGUMENT),
        (double(), 1, 2, UNSUPPORTED),
        (model([node("NoSuchThing", "x", "y")], [("x", F32, [1])], [("y", F32, [1])]), 1, 0, RUNTIME_ERROR),
    ],
)
def test_what_cannot_be_loaded(enter: Enter, data: bytes, encoding: int, target: int, errno: int) -> None:
    assert enter().load(data, encoding, target) == errno


def test_a_model_with_names_that_are_no_text(enter: Enter, capfd: pytest.CaptureFixture[str]) -> None:
    """The engine's own Python layer would print that it tries again."""
    data = double(dims=("name", 3))
    assert enter().load(data.replace(b"name", b"\xffame")) == INVALID_ENCODING
    sum_of = model([node("Sum", "x x", "y", name="name")], [("x", F32, [1])], [("y", F32, [1])])
    assert enter().load(sum_of.replace(b"Sum", b"\xe8um")) == RUNTIME_ERROR
    assert capfd.readouterr() == ("", "")


def test_a_model_in_bytes_may_not_name_files(enter: Enter, tmp_path: Path, words: list[str]) -> None:
    assert enter().load(external(tmp_path, "/etc/passwd").read_bytes()) == RUNTIME_ERROR
    assert "load: security: model 'sha256:" in words[0]
    assert "keeps weights in '/etc/passwd'; given as bytes it may not" in words[0]


def test_names(enter: Enter, tmp_path: Path) -> None:
    guest = enter(double())
    assert guest.load_by_name("m") == OK
    first = guest.result()
    assert guest.load_by_name("m") == OK
    assert guest.result() == first
    assert guest.load_by_name("other") == NOT_FOUND
    assert guest.load_by_name(b"\xff\xfe") == INVALID_ARGUMENT
    assert guest.call("unload", first) == OK
    assert guest.load_by_name("m") == OK
    assert guest.result() != first
    assert guest.call("unload", guest.result()) == OK
    (tmp_path / "m.onnx").unlink()
    assert guest.load_by_name("m") == MODEL_NOT_FOUND


@pytest.mark.parametrize(
    ("config", "errno"),
    [
        (b"", OK),
        (b'{"threads": 2}', OK),
        (b"[1]", INVALID_ARGUMENT),
        (b"{", INVALID_ARGUMENT),
        (b"[" * 60000, INVALID_ARGUMENT),
        (b"\xff", INVALID_ARGUMENT),
        (b" " * 70000, TOO_LARGE),
    ],
)
def test_options_are_a_json_object(enter: Enter, config: bytes, errno: int) -> None:
    guest = enter(double())
    assert guest.call("load_by_name_with_config", guest.put(b"m"), 1, guest.put(config), len(config), OUT) == errno


def test_a_small_buffer_is_told_the_size_it_needs(enter: Enter) -> None:
    guest = enter(double())
    context = guest.context()
    assert guest.set_input(context, ROW) == guest.call("compute", context) == OK
    at = guest.put(b"\xaa" * 16)
    assert guest.call("get_output", context, 0, at, 11, OUT) == TOO_LARGE
    assert guest.result() == 12
    assert guest.bytes[at : at + 16] == b"\xaa" * 16
    assert guest.call("get_output", context, 0, at, 12, OUT) == OK
    assert guest.bytes[at : at + 16] == DOUBLED + b"\xaa" * 4


@pytest.mark.parametrize(
    ("dims", "tag", "data", "said"),
    [
        ((1, 4), 1, bytes(16), r"input x: f32[N, 3] was given f32[1, 4]"),
        ((3,), 1, bytes(12), r"was given f32[3]"),
        ((1, 3), 5, bytes(24), r"was given i64[1, 3]"),
        ((1, 3), 1, bytes(11), r"was given f32[1, 3] in 11 bytes, not 12"),
        ((2**32 - 1, 3), 1, bytes(12), r"in 12 bytes, not 51539607540"),
        ((2**31, 2**31), 1, bytes(12), r"was given f32[2147483648, 2147483648]"),
        ((1, 3), 9, bytes(12), r"tensor type 9 does not exist"),
        ((1,) * 33, 1, bytes(4), r"33 dimensions"),
    ],
)
def test_tensors_that_do_not_fit_are_told_with_both_shapes(
    enter: Enter, words: list[str], dims: tuple[int, ...], tag: int, data: bytes, said: str
) -> None:
    guest = enter(double())
    assert guest.call("set_input", guest.context(), 0, guest.tensor(dims, tag, data)) == INVALID_ARGUMENT
    assert said in words[0]


def test_the_order_of_calls(enter: Enter, words: list[str]) -> None:
    guest = enter(double())
    context = guest.context()
    at = guest.put(bytes(64))
    assert guest.call("compute", context) == INVALID_ARGUMENT
    assert "not set: x: f32[N, 3]" in words[-1]
    assert guest.call("get_output", context, 0, at, 64, OUT) == RUNTIME_ERROR
    assert guest.set_input(context, ROW, index=1) == INVALID_ARGUMENT
    assert guest.set_input(context, ROW) == guest.call("compute", context) == OK
    assert guest.call("get_output", context, 1, at, 64, OUT) == INVALID_ARGUMENT


def test_a_context_keeps_its_graph_after_unload(enter: Enter, models: Models) -> None:
    guest = enter(double())
    assert guest.load_by_name("m") == OK
    graph = guest.result()
    context = guest.context()
    assert guest.call("unload", graph) == OK
    assert guest.call("init_execution_context", graph, OUT) == INVALID_ARGUMENT
    assert guest.set_input(context, ROW) == guest.call("compute", context) == OK
    assert len(models) == 1
    assert guest.call("finalize_execution_context", context) == OK
    assert len(models) == 0
    for name in ("compute", "finalize_execution_context"):
        assert guest.call(name, context) == INVALID_ARGUMENT
    assert guest.set_input(context, ROW) == INVALID_ARGUMENT
    assert guest.call("unload", graph) == INVALID_ARGUMENT


def test_contexts_without_end_are_refused_and_freed_ones_make_room(enter: Enter) -> None:
    guest = enter(double())
    assert guest.load_by_name("m") == OK
    graph, seen = guest.result(), []
    for _ in range(MAX_CONTEXTS):
        assert guest.call("init_execution_context", graph, OUT) == OK
        seen.append(guest.result())
    assert guest.call("init_execution_context", graph, OUT) == TOO_LARGE
    assert guest.call("finalize_execution_context", seen[3]) == OK
    assert guest.call("init_execution_context", graph, OUT) == OK
    assert guest.result() not in seen


def test_graphs_without_end_are_refused(enter: Enter, models: Models) -> None:
    guest = enter()
    assert [guest.load(double()) for _ in range(MAX_GRAPHS + 1)] == [OK] * MAX_GRAPHS + [TOO_LARGE]
    assert len(models) == 1


def test_what_the_host_holds_is_bounded(enter: Enter, words: list[str]) -> None:
    """Room for one model and one small tensor, not for two models or a large tensor."""
    guest = enter(double(), memory=20_000)
    assert guest.load(autoencoder()) == OK
    graph = guest.result()
    assert guest.load(autoencoder() + b"\x32\x0e" + bytes(14)) == OK
    assert guest.load(autoencoder() + b"\x32\x0f" + bytes(15)) == TOO_LARGE
    assert "of the node's 20000 are in use" in words[-1]
    assert guest.call("unload", graph) == OK
    context = guest.context()
    assert guest.set_input(context, np.ones((1000, 3), "f4")) == OK
    assert guest.call("compute", context) == TOO_LARGE
    assert guest.set_input(context, np.ones((2000, 3), "f4")) == TOO_LARGE
    assert guest.set_input(context, ROW) == guest.call("compute", context) == OK


@pytest.mark.parametrize(
    "arguments",
    [
        ("load", NOWHERE, 1, 1, 0, OUT),
        ("load", 64, 0, 1, 0, OUT),
        ("load", 64, 2**31, 1, 0, OUT),
        ("load", 64, 1, 1, 0, NOWHERE),
        ("load_by_name", NOWHERE, 4, OUT),
        ("load_by_name", 64, 2**32 - 1, OUT),
        ("load_by_name", 64, 1, SIZE - 3),
        ("load_by_name_with_config", 64, 1, NOWHERE, 40, OUT),
        ("init_execution_context", 0, NOWHERE),
        ("init_execution_context", 12345, OUT),
        ("set_input", 0, 0, NOWHERE),
        ("set_input", 0, 0, SIZE - 19),
        ("get_output", 0, 0, NOWHERE, 64, OUT),
        ("get_output", 0, 0, 64, 64, NOWHERE),
        ("get_output", 0, 2**32 - 1, 64, 64, OUT),
        ("compute", 2**32 - 1),
        ("unload", 2**31),
    ],
)
def test_pointers_and_handles_from_nowhere(enter: Enter, models: Models, arguments: tuple[str, int]) -> None:
    guest = enter(double())
    context = guest.context()
    assert guest.set_input(context, ROW) == guest.call("compute", context) == OK
    guest.memory.write(64, b"m")
    assert guest.call(*arguments) == INVALID_ARGUMENT
    assert len(models) == 1


@pytest.mark.parametrize("field", range(5))
def test_a_tensor_of_wild_pointers(enter: Enter, field: int) -> None:
    guest = enter(double())
    context = guest.context()
    at = guest.tensor((1, 3), 1, f32(1, 2, 3))
    guest.memory.write(at + 4 * field, struct.pack("<I", 0x7FFF_FFFF))
    assert guest.call("set_input", context, 0, at) == INVALID_ARGUMENT


def test_refusals_are_counted_and_told_ever_more_rarely(models: Models, words: list[str]) -> None:
    door = NodeDoor(models, [], memory=MEMORY, report=words.append)
    guest = Guest(door.core())
    for _ in range(1000):
        guest.call("compute", 5)
    assert door.refusals == {"invalid-argument": 1000}
    assert len(words) == 10
    assert words[-1] == "compute: invalid-argument: context 5 does not exist (512 refusals so far)"


def test_a_new_instance_starts_without_what_the_last_one_left(tmp_path: Path, models: Models) -> None:
    door = NodeDoor(models, [use(tmp_path, double())], memory=MEMORY, report=lambda _: None)
    door.warm_up()
    first = Guest(door.core())
    context = first.context()
    assert first.set_input(context, ROW) == OK
    assert door.memory_bytes() == 12
    second = Guest(door.core())
    assert door.memory_bytes() == 0
    assert first.call("compute", context) == second.call("compute", context) == INVALID_ARGUMENT
    assert second.set_input(second.context(), ROW) == OK
    assert len(models) == 1
    door.close()
    assert len(models) == 0


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(
        st.tuples(
            st.integers(0, 11),
            st.lists(st.one_of(st.integers(0, 4), st.integers(0, 2**32 - 1)), min_size=5, max_size=5),
        ),
        max_size=30,
    )
)
def test_whatever_a_guest_does_it_gets_an_errno(enter: Enter, calls: list[tuple[int, list[int]]]) -> None:
    guest = enter(double())
    guest.memory.write(0, b"m" + struct.pack("<IIIII", 64, 2, 1, 128, 12))
    guest.memory.write(64, struct.pack("<II", 1, 3))
    functions = sorted(
        CoreDoor(Holdings(Models(), [], 0, lambda _: None)).functions(), key=lambda function: function.name
    )
    for which, arguments in calls:
        function = functions[which]
        errno = guest.call(function.name, *arguments[: len(function.params)])
        assert errno in {OK, INVALID_ARGUMENT, INVALID_ENCODING, RUNTIME_ERROR, UNSUPPORTED, TOO_LARGE, NOT_FOUND}


def test_a_model_that_makes_its_outputs_at_once_has_no_pieces(enter: Enter) -> None:
    guest = enter(double())
    context = guest.context()
    assert guest.set_input(context, ROW) == OK
    assert guest.call("compute_single", context) == UNSUPPORTED
    assert guest.call("get_output_single", context, 0, 64, 64, OUT) == RUNTIME_ERROR
    assert guest.call("fini_single", context) == OK
