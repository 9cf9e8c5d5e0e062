"""`flowrt modules embed`: a module that carries its model, in a graph that names none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from flowrt.cli.main import main
from flowrt.graph.facts import Unreadable
from flowrt.wasm import embedded
from flowrt.wasm.inspect import inspect_module

AIO = Path(__file__).parents[2] / "modules" / "aio"
SNAPSHOT = AIO / "snapshot" / "snapshot.wasm"
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
GRAPH = """
metadata: {name: pictures, version: "1.0.0"}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0", features: [{name: wasi-nn}]}
operations:
  - {operationType: source, name: source}
  - {operationType: map, name: format, module: "format:1.0.0"}
  - {operationType: map, name: name, module: "snapshot:1.0.0"}
  - {operationType: sink, name: sink}
connections:
  - {from: {name: source}, to: {name: format}}
  - {from: {name: format}, to: {name: name}}
  - {from: {name: name}, to: {name: sink}}
"""


def separable(path: Path) -> Path:
    """A small network of MobileNet's parts (a strided convolution, one of each channel, one of points, a mean, a dense
    layer) that tells which colour a picture has most of. Input and output as the sample's model has them."""
    weights = {
        "stem": np.eye(3, dtype="f4")[:, :, None, None] * np.ones((1, 1, 3, 3), "f4") / 9,
        "each": np.ones((3, 1, 3, 3), "f4") / 9,
        "points": np.eye(3, dtype="f4")[:, :, None, None],
        "dense": np.eye(3, dtype="f4"),
    }
    nodes = [
        helper.make_node("Conv", ["data", "stem"], ["a"], strides=[2, 2], pads=[0, 0, 1, 1]),
        helper.make_node("Conv", ["a", "each"], ["b"], group=3, pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["b", "points"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("MatMul", ["e", "dense"], ["mobilenetv20_output_flatten0_reshape0"]),
    ]
    ends = [("data", [1, 3, 224, 224]), ("mobilenetv20_output_flatten0_reshape0", [1, 3])]
    first, last = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in ends)
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "separable", first, last, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture
def embedded_in(tmp_path, monkeypatch):
    """`embedded_in(*more)`: the sample's operator with such a model, in a folder of modules."""
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    (tmp_path / "modules").mkdir()

    def make(*more: str) -> Path:
        made = tmp_path / "modules" / "snapshot.wasm"
        model = separable(tmp_path / "m.onnx")
        assert main(["modules", "embed", str(SNAPSHOT), "-o", str(made), "--model", f"mobilenet={model}", *more]) == 0
        return made

    return make


def test_a_graph_that_names_no_model_names_pictures(embedded_in, tmp_path, capsys):
    """JPEG and PNG in, names out: a test in the form of AIO's samples."""
    labels = tmp_path / "labels.txt"
    labels.write_text("n00000001 red\nn00000002 green\nblue\n")
    embedded_in("--parameter", f"labels=@{labels}")
    (tmp_path / "graph.yaml").write_text(GRAPH)
    (tmp_path / "input").mkdir()
    for index, (name, colour) in enumerate(COLOURS.items()):
        Image.new("RGB", (64, 48), colour).save(tmp_path / "input" / f"{index}.{'png' if name == 'green' else 'jpg'}")
    expected = [{"payload": json.dumps({"object": {"result": name}})} for name in COLOURS]
    (tmp_path / "expected.json").write_text(json.dumps(expected))
    test = {"name": "x", "graph": "graph.yaml", "input": "input", "expected": "expected.json", "select": ["payload"]}
    (tmp_path / "x.test.yaml").write_text(json.dumps(test))
    folders = ["--modules", str(tmp_path / "modules"), "--modules", str(AIO)]
    assert main(["test", str(tmp_path / "x.test.yaml"), "--jobs", "1", *folders]) == 0, capsys.readouterr().out


def test_what_it_carries_is_shown_and_is_the_same_each_time(embedded_in, capsys):
    made = embedded_in("--parameter", "labels=a")
    first = made.read_bytes()
    assert embedded_in("--parameter", "labels=a").read_bytes() == first
    assert first.startswith(SNAPSHOT.read_bytes())
    capsys.readouterr()
    assert main(["modules", "show", str(made)]) == 0
    assert "  carries model mobilenet (onnx)\n  carries parameter labels (1 characters)\n" in capsys.readouterr().out


def test_what_cannot_be_embedded(tmp_path, capsys):
    text = tmp_path / "m.txt"
    text.write_text("no model")
    out = str(tmp_path / "x.wasm")
    cases = [
        [str(SNAPSHOT), "--model", f"m={text}"],
        [str(tmp_path / "none.wasm")],
        [str(text)],
        [str(SNAPSHOT), "--parameter", "labels=@/nowhere"],
    ]
    for case in cases:
        assert main(["modules", "embed", *case, "-o", out]) == 1
        assert capsys.readouterr().err.startswith("flowrt modules embed: ")
    assert not Path(out).exists()


LONG = b'{"models":[{"name":"m","encoding":"onnx","size":99999999999}]}'


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (b"", "has no readable list of contents"),
        (b"\xff\xff\xff\xff{}", "has 6 bytes, and its contents 4294967299"),
        (b"\x02\0\0\0{}more", "has 10 bytes, and its contents 6"),
        (len(LONG).to_bytes(4, "little") + LONG, "and its contents 100000000065"),
        (b'\x0d\0\0\0{"models":[1]}', "has no readable list of contents"),
    ],
)
def test_a_section_that_lies_is_refused(tmp_path, section, words):
    made = tmp_path / "x.wasm"
    body = bytes([len(embedded.SECTION)]) + embedded.SECTION.encode() + section
    made.write_bytes(b"\0asm\1\0\0\0\0" + bytes([len(body)]) + body)
    found = inspect_module(made)
    assert isinstance(found, Unreadable)
    assert words in found.reason
