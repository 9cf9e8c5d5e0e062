"""`flowrt model`: show, bench, compare, quantize, convert, as they are typed."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from nn_engines import ENGINES, engine_params, expected
from nn_models import autoencoder, double

from flowrt.cli.main import main
from flowrt.nn.backend import Source
from flowrt.nn.backends.onnx import OnnxBackend
from flowrt.nn.tools.bench import Row, recommend

ROWS = np.random.default_rng(1).normal(size=(40, 16)).astype("f4")
has = {package: find_spec(package) is not None for package in ("openvino", "ai_edge_litert", "torch", "tensorflow")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", ROWS)
    (tmp_path / "m.onnx").write_bytes(autoencoder())
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("engine", engine_params())
def test_show_says_what_a_file_says(engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ENGINES[engine][1]()
    file = made.write(tmp_path)
    assert main(["model", "show", str(file), "--encoding", made.encoding]) == 0
    said = capsys.readouterr().out
    assert f"{file}: {made.encoding}, " in said
    for line in {
        "onnx": ("IR 8, opset 17", "input x: f32[N, 16]", "output y: f32[N, 16]", "Gemm x4, Relu x3", "save about 4."),
        "openvino-ir": ("IR version 11", "input x: f32[?, 16]", "MatMul x4", "save about 4."),
        "openvino-onnx": ("opset 17", "input x: f32[N, 16]", "Gemm x4"),
        "tflite": ("schema 3", "made by: made by a test", "input x: f32[?, 16]", "FULLY_CONNECTED x4", "save about 4."),
        "pytorch": ("TorchScript", "declare them in the graph", "linear x4"),
    }[engine]:
        assert line in said


def test_show_goes_on_behind_what_is_no_model(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path.parent / "no.onnx").write_bytes(b"what?")
    assert main(["model", "show", str(path.parent / "no.onnx"), str(path), str(path.parent / "none.onnx")]) == 1
    out, err = capsys.readouterr()
    assert "Gemm x4" in out
    assert "'no.onnx' is not an ONNX model" in err
    assert "there is no file" in err


def test_bench_measures_engines_side_by_side(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = main(["model", "bench", str(path), "--seconds", "0.01", "--threads", "1", "--batch", "1", "8"])
    lines = capsys.readouterr().out.splitlines()
    engines = ["onnx", "openvino"] if has["openvino"] else ["onnx"]
    assert done == 0
    assert [line.split()[:3] for line in lines[1:-1]] == [[e, "1", b] for e in engines for b in ("1", "8")]
    assert lines[-1].startswith("recommended: encoding: ")


def row(encoding: str, threads: int, batch: int, microseconds: float) -> Row:
    return Row(encoding, threads, batch, microseconds / 1e6, microseconds / 1e6, 0)


@pytest.mark.parametrize(
    ("rows", "advice"),
    [
        (
            [("onnx", 1, 1, 10), ("onnx", 1, 8, 20)],
            "encoding: onnx, batch.max 8 or more: a message costs 4.0 times less",
        ),
        ([("onnx", 1, 1, 10), ("onnx", 1, 8, 80)], "encoding: onnx; batches gain nothing"),
        ([("onnx", 1, 1, 30), ("openvino", 1, 1, 10)], "encoding: openvino; batches gain nothing"),
        ([("onnx", 1, 1, 10), ("openvino", 1, 1, 11)], "encoding: onnx (the others are as fast)"),
        ([("onnx", 1, 1, 1000), ("onnx", 2, 1, 500)], "2 threads would be 2.0 times faster"),
    ],
)
def test_the_recommendation_follows_from_the_figures(rows: list[tuple[str, int, int, float]], advice: str) -> None:
    assert advice in recommend([row(*each) for each in rows])


def test_compare_finds_a_model_equal_to_itself_and_apart_from_another(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, recording = path.parent / "other.onnx", str(path.parent / "rows.npy")
    other.write_bytes(double(dims=("N", 16)))
    assert main(["model", "compare", str(path), str(path), "--recording", recording]) == 0
    assert "over 40 rows the largest difference is 0," in capsys.readouterr().out
    assert main(["model", "compare", str(path), str(other), "--recording", recording]) == 1
    assert "40 rows are apart by more than the tolerance" in capsys.readouterr().out


@pytest.mark.skipif(not has["ai_edge_litert"], reason="ai_edge_litert is not installed")
def test_compare_takes_models_of_two_formats(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ENGINES["tflite"][1]().write(path.parent)
    assert main(["model", "compare", str(path), str(file), "--recording", str(path.parent / "rows.npy")]) == 0
    assert "another value is the largest in 0" in capsys.readouterr().out


def test_models_of_other_tensors_are_not_compared(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = path.parent / "other.onnx"
    other.write_bytes(double())
    assert main(["model", "compare", str(path), str(other), "--recording", str(path.parent / "rows.npy")]) == 1
    assert "the models take different tensors: x: f32[N, 16] and x: f32[N, 3]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("r.npz", {"z": ROWS}, "has no array 'x', but z"),
        ("r.npy", ROWS[:, :3], r"[40, 3] does not fit x: f32[N, 16]"),
        ("r.npy", ROWS.astype("f8"), "float64 is no x: f32[N, 16]"),
        ("r.bin", b"123", "3 bytes are no rows of x: f32[16]"),
        ("r.npy", b"junk", "recording"),
        ("none.npy", None, "No such file"),
        ("r.npy", ROWS[:0], "has no rows"),
    ],
)
def test_a_recording_that_does_not_fit_is_told(
    path: Path, name: str, data: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = path.parent / name
    if isinstance(data, dict):
        np.savez(file, **data)
    elif isinstance(data, np.ndarray):
        np.save(file, data)
    elif isinstance(data, bytes):
        file.write_bytes(data)
    assert main(["model", "compare", str(path), str(path), "--recording", str(file)]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", ["rows.npy", "rows.npz", "rows.bin"])
def test_quantize_with_a_recording_makes_a_smaller_model_that_is_near(
    path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(path.parent / "rows.npz", x=ROWS)
    (path.parent / "rows.bin").write_bytes(ROWS.tobytes())
    out = path.parent / "int8.onnx"
    assert main(["model", "quantize", str(path), str(out), "--recording", str(path.parent / name)]) == 0
    assert "output y: over 40 rows the largest difference is" in capsys.readouterr().out
    session = OnnxBackend().load(Source("q", (out.read_bytes(),)), "cpu", 1)
    [found] = session.run([ROWS])
    gap, span = np.abs(found - expected(ROWS)).max(), np.ptp(expected(ROWS))
    assert 0 < gap < 0.1 * span
    main(["model", "show", str(out)])
    assert "QuantizeLinear" in capsys.readouterr().out


def test_quantize_without_a_recording_quantises_the_weights(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = path.parent / "int8.onnx"
    assert main(["model", "quantize", str(path), str(out)]) == 0
    assert "instead of" in capsys.readouterr().out
    main(["model", "show", str(out)])
    assert "MatMulInteger x4" in capsys.readouterr().out


@pytest.mark.skipif(not has["openvino"], reason="openvino is not installed")
def test_convert_to_openvino(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = path.parent / "made.xml"
    assert main(["model", "convert", str(path), str(out)]) == 0
    assert "by openvino" in capsys.readouterr().out
    assert main(["model", "compare", str(path), str(out), "--recording", str(path.parent / "rows.npy")]) == 0


@pytest.mark.skipif(not has["torch"], reason="torch is not installed")
def test_convert_torchscript_to_onnx(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ENGINES["pytorch"][1]().write(path.parent, "ts")
    out = path.parent / "made.onnx"
    assert main(["model", "convert", str(made), str(out)]) == 1
    assert "give --input 'x: f32[N, 16]'" in capsys.readouterr().err
    assert main(["model", "convert", str(made), str(out), "--input", "x: f32[N, 16]"]) == 0
    assert main(["model", "compare", str(path), str(out), "--recording", str(path.parent / "rows.npy")]) == 0


@pytest.mark.skipif(has["tensorflow"], reason="TensorFlow is installed")
def test_convert_from_tensorflow_says_what_it_needs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "convert", str(path.parent), str(path.parent / "made.onnx")]) == 1
    assert "pip install tf2onnx tensorflow-cpu" in capsys.readouterr().err


TENSORFLOW = """
import tensorflow as tf, sys
class Doubles(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def __call__(self, x):
        return {"y": x + x}
made = Doubles()
tf.saved_model.save(made, sys.argv[1], signatures=made.__call__.get_concrete_function())
converter = tf.lite.TFLiteConverter.from_saved_model(sys.argv[1])
open(sys.argv[1] + ".tflite", "wb").write(converter.convert())
"""


@pytest.mark.skipif(not has["tensorflow"], reason="TensorFlow and tf2onnx are not installed: 2 GB")
def test_convert_from_tensorflow(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    subprocess.run([sys.executable, "-c", TENSORFLOW, str(folder)], check=True, capture_output=True)
    for source in (folder, tmp_path / "saved.tflite"):
        out = tmp_path / "made.onnx"
        assert main(["model", "convert", str(source), str(out)]) == 0
        session = OnnxBackend().load(Source("m", (out.read_bytes(),)), "cpu", 1)
        assert session.run([np.ones((2, 3), "f4")])[0].tolist() == [[2] * 3] * 2


def test_a_way_that_is_none_names_those_there_are(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "convert", str(path), str(path.parent / "made.gguf")]) == 1
    assert "there is no way from onnx to .gguf; there are: TorchScript to .onnx" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ("bench m.onnx --seconds -1", 2, "-1 is not above 0 and at most 3600"),
        ("bench m.onnx --seconds nan", 2, "nan is not above 0"),
        ("bench m.onnx --batch 1000000000", 2, "1000000000 is not from 1 to 65536"),
        ("bench m.onnx --recording gone.npy", 1, "recording gone.npy: No such file or directory"),
        ("compare m.onnx m.onnx --recording gone.npy --tolerance -1", 2, "-1 is not 0 or more"),
        ("quantize m.onnx m.onnx", 1, "m.onnx is the model itself; name another file to write"),
        ("quantize m.onnx gone/out.onnx", 1, "gone/out.onnx: there is no folder gone"),
        ("convert m.onnx gone/out.xml", 1, "gone/out.xml: there is no folder gone"),
        ("convert m.onnx .", 1, ". is a folder; name the file to write"),
        ("show m.onnx --encoding onnks", 1, "'onnks' is no encoding; did you mean 'onnx'?"),
    ],
)
def test_clumsy_words_are_answered_in_words(
    words: str,
    status: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And nothing was written, least of all over the model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(autoencoder())
    try:
        ended = main(["model", *words.split()])
    except SystemExit as left:
        ended = int(str(left.code))
    assert (ended, told in capsys.readouterr().err) == (status, True)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("m.onnx", autoencoder())]


def test_doctor_lists_every_engine_with_its_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "cpu: CPUExecutionProvider" in said
    for encoding, package, extra in (
        ("tensorflowlite", "ai_edge_litert", "tflite"),
        ("openvino", "openvino", "openvino"),
        ("pytorch", "torch", "pytorch"),
    ):
        [line] = [line for line in said.splitlines() if line.startswith(f"{encoding} models")]
        assert ("cpu: " in line) if has[package] else (f"pip install 'flowrt[{extra}]'" in line)
