"""What a model file says of itself, read without the engine."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_models import F32, F64, I64, autoencoder, double, external, facts_of, model, node
from onnx import TensorProto, helper

from flowrt.graph.facts import ModelFacts, Unreadable
from flowrt.message import Tensor
from flowrt.nn import encodings, onnx_file
from flowrt.nn.encodings import detect, sniff, spell
from flowrt.nn.faults import ModelFault
from flowrt.nn.inspect import inspect_model

PARAMETERS = 4 * (16 * 32 + 32 + 32 * 8 + 8 + 8 * 32 + 32 + 32 * 16 + 16)


def reason(path: Path, encoding: str | None = None) -> str:
    found = inspect_model(path, encoding)
    assert isinstance(found, Unreadable), found
    return found.reason


def write(folder: Path, data: bytes, name: str = "m.onnx") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_an_onnx_file_tells_its_tensors_weights_and_digest(tmp_path: Path) -> None:
    facts = facts_of(write(tmp_path, autoencoder()))
    assert facts.inputs == (Tensor("x", "f32", (-1, 16)),)
    assert facts.outputs == (Tensor("y", "f32", (-1, 16)),)
    assert facts.encoding == "onnx"
    assert facts.digest.startswith("sha256:")
    assert PARAMETERS <= facts.parameter_bytes < PARAMETERS * 1.1


def test_inputs_that_initializers_fill_are_not_inputs(tmp_path: Path) -> None:
    data = model(
        [node("Add", "x w", "y")],
        [("x", F32, [2]), ("w", F32, [2])],
        [("y", F32, [2])],
        w=np.ones(2, "f4"),
    )
    assert facts_of(write(tmp_path, data)).inputs == (Tensor("x", "f32", (2,)),)


def test_the_engine_is_not_imported_for_it(tmp_path: Path) -> None:
    path = write(tmp_path, double())
    code = f"""
import sys
from flowrt.nn.inspect import inspect_model
print(inspect_model({str(path)!r}).encoding, "numpy" in sys.modules, "onnxruntime" in sys.modules)
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["onnx", "False", "False"]


def test_a_sequence_is_refused_with_the_way_out(tmp_path: Path) -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(F32, [2]))
    graph = helper.make_graph(
        [node("SequenceConstruct", "x", "y")],
        "g",
        [helper.make_tensor_value_info("x", F32, [2])],
        [helper.make_value_info("y", kind)],
    )
    path = write(tmp_path, helper.make_model(graph, ir_version=8).SerializeToString())
    assert "output 'y' is a sequence; flowrt carries tensors only" in reason(path)


def test_strings_are_tensors(tmp_path: Path) -> None:
    text = TensorProto.STRING
    path = write(tmp_path, model([node("Identity", "x", "y")], [("x", text, [1])], [("y", text, [1])]))
    assert facts_of(path).inputs == (Tensor("x", "string", (1,)),)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.onnx", b"", "no graph"),
        ("b.onnx", b"not a model at all", "is not an ONNX model"),
        ("c.bin", b"\x00\x01\x02", "no model in a format flowrt knows"),
        ("d.tflite", b"\x1c\x00\x00\x00TFL3", "is no TensorFlow Lite model: an offset beyond the file"),
        ("e.gguf", b"GGUF\x03\x00\x00\x00", "is no GGUF model: its header ends early"),
        ("f.pt", b"PK\x03\x04", "is no TorchScript archive"),
        ("g.onnx", b"GGUF\x03\x00\x00\x00", "is no GGUF model"),
        ("h.pb", b"\x08\x01", "flowrt model convert FOLDER model.onnx"),
        ("i.xml", b"<?xml version='1.0'?><net/>", "needs its weights in i.bin beside it"),
        ("k.pth", b"\x80\x02cos\nsystem\n", "is no TorchScript archive"),
    ],
)
def test_what_is_no_model_is_told_for_what_it_is(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    assert words in reason(write(tmp_path, data, name))


@pytest.mark.parametrize(
    ("encoding", "command"),
    [
        ("tensorflowlite", "pip install 'flowrt[tflite]'"),
        ("openvino", "pip install 'flowrt[openvino]'"),
        ("pytorch", "pip install 'flowrt[pytorch]'"),
        ("ggml", "pip install 'flowrt[ggml]'"),
        ("remote", "pip install 'flowrt[remote]'"),
    ],
)
def test_an_engine_that_is_not_installed_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, encoding: str, command: str
) -> None:
    monkeypatch.setattr(encodings, "find_spec", lambda _: None)
    monkeypatch.setattr(encodings, "_loaded", {})
    assert command in (encodings.missing(encoding) or "")
    with pytest.raises(ModelFault, match=re.escape(command)) as caught:
        encodings.backend_for(encoding)
    assert caught.value.code == "invalid-encoding"


def test_tensorflow_is_answered_with_how_to_convert() -> None:
    with pytest.raises(ModelFault, match=r"flowrt model convert FOLDER model.onnx .*TFLiteConverter"):
        encodings.backend_for("tensorflow")


def test_openvino_takes_onnx_where_it_is_asked_to(tmp_path: Path) -> None:
    found = inspect_model(write(tmp_path, double()), "openvino")
    assert isinstance(found, ModelFacts)
    assert found.encoding == "openvino"


def test_missing_files_folders_and_unknown_encodings(tmp_path: Path) -> None:
    missing = inspect_model(tmp_path / "none.onnx")
    assert isinstance(missing, Unreadable)
    assert missing.missing
    assert "is not a file" in reason(tmp_path)
    assert "did you mean 'onnx'?" in reason(write(tmp_path, double()), "onx")


def test_a_model_declared_as_what_it_is_not_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(double())

    found = inspect_model(file, "tflite")

    assert found == Unreadable(f"{file} is declared as tensorflowlite, but its bytes are onnx")


def test_names_of_encodings_and_their_aliases() -> None:
    assert (spell("tflite"), spell("gguf"), spell("autodetect")) == ("tensorflowlite", "ggml", "autodetect")
    assert sniff(double()) == "onnx"
    assert detect(b"?", None, ".tflite") == "tensorflowlite"
    assert detect(b"????TFL3", "pytorch") == "tensorflowlite"


def test_weights_in_a_file_beside_the_model_count(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(np.arange(4, dtype="f4").tobytes())
    assert facts_of(external(tmp_path, "w.bin")).parameter_bytes == 16


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "sub/../../w.bin", "link.bin"])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str, hidden: bool) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(16))
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    assert "outside its folder" in reason(external(folder, location, hidden=hidden))


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    assert "needs 'w.bin', which is not in" in reason(external(tmp_path, "w.bin"))


def test_a_truncated_file_is_unreadable_at_every_length(tmp_path: Path) -> None:
    whole = double()
    for length in range(len(whole)):
        found = inspect_model(write(tmp_path, whole[:length]))
        assert isinstance(found, (Unreadable, ModelFacts)), length


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200), at=st.integers(0, 150), patch=st.binary(max_size=8))
def test_no_bytes_raise_anything_but_a_fault(data: bytes, at: int, patch: bytes) -> None:
    whole = model([node("Add", "x w", "y")], [("x", I64, ["N"])], [("y", I64, ["N"])], w=np.ones(1, "i8"))
    for hostile in (data, whole[:at] + patch + whole[at + len(patch) :]):
        with suppress(ModelFault):
            onnx_file.read(hostile + b"location", "m")


def record(number: int, data: bytes) -> bytes:
    """One length-delimited protobuf field."""
    size = len(data)
    return bytes([number << 3 | 2, *(size >> shift & 0x7F | 0x80 for shift in (0, 7, 14)), size >> 21]) + data


def test_graphs_nested_without_end_are_refused(tmp_path: Path) -> None:
    """Graph, node, attribute, graph, node, attribute …"""
    whole = double()
    graph = b""
    for _ in range(1000):
        graph = record(1, record(5, record(6, graph)))
    assert "nested too deeply" in reason(write(tmp_path, whole + record(7, graph) + record(6, b"location")))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x08\x01" * 2_100_000, "more fields than any model"),
        (b"\x08\x01" + record(7, record(5, b"") * 250_000), "more than 200000 tensors"),
        (b"\x08\x01" + record(7, record(12, record(1, b"n" * 5000))), "a name of 5000 bytes"),
        (b"\x08\x01" + record(7, record(5, record(1, b"\x01" * 2000))), "a packed field of 2000 bytes"),
    ],
)
def test_a_file_made_to_waste_time_or_room_is_refused_soon(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ModelFault, match=words):
        onnx_file.read(data, "m")


def test_a_type_the_engine_knows_and_numpy_does_too(tmp_path: Path) -> None:
    assert facts_of(write(tmp_path, double(F64, ()))).inputs == (Tensor("x", "f64", ()),)
