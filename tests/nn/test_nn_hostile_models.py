"""Models that mean harm, in every format: an error for whoever brought them, and the process goes on."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_engines import ENGINES, engine_params
from nn_models import double

from flowrt.nn import gguf_file, openvino_file, tflite_file, torch_file
from flowrt.nn.faults import ModelFault
from flowrt.nn.registry import Models

IR = b"""<?xml version="1.0"?><net name="m" version="11"><layers>%s</layers><edges/></net>"""


def test_a_network_that_declares_entities_is_refused() -> None:
    """A billion laughs, and files of the machine."""
    bomb = b'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><net version="11">&b;</net>'
    with pytest.raises(ModelFault, match="declares XML entities") as caught:
        openvino_file.read(bomb, b"", "m.xml")
    assert caught.value.code == "security"


def test_a_network_of_endless_elements_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_file._Counting, "_left", 1000)
    with pytest.raises(ModelFault, match="XML elements") as caught:
        openvino_file.read(IR % (b"<layer/>" * 2000), b"", "m.xml")
    assert caught.value.code == "too-large"


@pytest.mark.parametrize(("offset", "size"), [(0, 17), (16, 1), (-4, 4), (2**62, 2**62), ("x", 4)])
def test_weights_outside_the_weights_file_are_refused(offset: object, size: object) -> None:
    const = f'<layer id="0" type="Const" name="w"><data element_type="f32" offset="{offset}" size="{size}"/></layer>'
    result = (
        '<layer id="1" type="Result" name="r"><input><port id="0" precision="FP32"><dim>4</dim></port></input></layer>'
    )
    edges = b'<edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/></edges>'
    xml = (IR % (const + result).encode()).replace(b"<edges/>", edges)
    with pytest.raises(ModelFault, match="weight 'w' lies outside the weights, which have 16 bytes"):
        openvino_file.read(xml, bytes(16), "m.xml")


def test_a_small_file_that_names_a_part_endlessly_is_refused_soon() -> None:
    """Offsets of a FlatBuffer may all lead to one place, a length of four billion behind it."""
    data = bytearray(64)
    struct.pack_into("<I4s", data, 0, 16, b"TFL3")
    struct.pack_into("<i", data, 16, 16 - 40)  # the vtable is at 40
    struct.pack_into("<HHHHH", data, 40, 10, 8, 0, 0, 4)  # field 2, the graphs, at 20
    struct.pack_into("<I", data, 20, 4)
    struct.pack_into("<I", data, 24, 2**32 - 1)
    with pytest.raises(ModelFault, match="is no TensorFlow Lite model"):
        tflite_file.read(bytes(data), "m")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (struct.pack("<IQQ", 3, 2**40, 0), "tensors"),
        (struct.pack("<IQQ", 3, 0, 2**40), "entries"),
        (struct.pack("<IQQQ", 3, 0, 1, 2**50), "bytes in a text"),
        (struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<IIQ", 9, 4, 2**60), "items in a list"),
        (struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<IIQ", 9, 9, 2), "a value of type 9"),
        (struct.pack("<IQQQ", 3, 1, 0, 1) + b"w" + struct.pack("<IQIQ", 1, 2**40, 0, 0), "and the file has"),
        (struct.pack("<IQQ", 9, 0, 0), "its version is 9"),
    ],
)
def test_a_language_model_that_promises_too_much_is_refused(head: bytes, words: str) -> None:
    with pytest.raises(ModelFault, match=words) as caught:
        gguf_file.read(b"GGUF" + head, "m")
    assert caught.value.code == "invalid-encoding"


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_fault(data: bytes) -> None:
    for hostile in (data, b"\x1c\0\0\0TFL3" + data, b"GGUF" + data, b"<?xml ?><net>" + data, b"PK\x03\x04" + data):
        for read in (tflite_file.read, gguf_file.read, torch_file.read, lambda d, n: openvino_file.read(d, b"", n)):
            with suppress(ModelFault):
                read(hostile, "m")


@pytest.mark.parametrize("engine", engine_params())
def test_a_changed_byte_anywhere_is_survived_by_the_reader(engine: str) -> None:
    made, chance = ENGINES[engine][1](), random.Random(5)
    head, rest = made.parts[0], made.parts[1:]
    reader = {"tensorflowlite": tflite_file.read, "pytorch": torch_file.read}.get(
        made.encoding, lambda data, label: openvino_file.read(data, rest[0] if rest else b"", label)
    )
    for _ in range(300):
        changed = bytearray(head)
        changed[chance.randrange(len(changed))] = chance.randrange(256)
        with suppress(ModelFault):
            reader(bytes(changed), "m")


@pytest.mark.skipif(find_spec("ai_edge_litert") is None, reason="ai_edge_litert is not installed")
def test_a_guests_model_that_ends_its_process_ends_only_a_child() -> None:
    """LiteRT aborts when it meets uint8 without the scale that it needs."""
    import tflite_models

    models = Models()
    with pytest.raises(ModelFault, match="ends the process that runs it") as caught:
        models.open_bytes([tflite_models.double("uint8")], "tensorflowlite")
    assert caught.value.code == "security"
    handle = models.open_bytes([tflite_models.double()], "tensorflowlite")
    assert handle.session.run([np.ones((1, 3), "f4")])[0].tolist() == [[2, 2, 2]]
    handle.close()
    assert (len(models), models.idle()) == (0, 1)
    models.close()


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_a_guests_broken_model_is_refused_in_the_childs_words() -> None:
    with pytest.raises(ModelFault, match="OpenVINO's IR is two parts") as caught:
        Models().open_bytes([IR % b""], "openvino")
    assert caught.value.code == "invalid-argument"


def test_external_data_outside_the_folder_is_refused_by_every_engine_that_takes_onnx(tmp_path: Path) -> None:
    from nn_models import external

    from flowrt.nn.backend import Source
    from flowrt.nn.encodings import backend_for

    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(16))
    path = external(folder, "../w.bin")
    for encoding in ("onnx", *(["openvino"] if find_spec("openvino") else [])):
        with pytest.raises(ModelFault, match="outside its folder") as caught:
            backend_for(encoding).load(Source("m", (path.read_bytes(),), folder, path), "cpu", 1)
        assert caught.value.code == "security"


def test_nothing_of_a_refused_model_stays() -> None:
    models = Models()
    for parts, encoding in (((b"what?",), "onnx"), ((double()[:40],), "onnx"), ((b"GGUF",), "ggml")):
        with pytest.raises(ModelFault):
            models.open_bytes(parts, encoding)
    assert (len(models), models.idle(), models.memory_bytes()) == (0, 0, 0)
