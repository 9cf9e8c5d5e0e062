"""Models we did not make, with the outputs their makers expect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from nn_models import SHARED, facts_of

from flowrt.graph.plan import ModelUse
from flowrt.nn.backend import DTYPES, Source
from flowrt.nn.backends.onnx import OnnxBackend
from flowrt.nn.model import LoadedModel
from flowrt.nn.registry import Models

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the models are not here")

ALL = sorted(SHARED.glob("**/*.onnx"))
LIGHT = sorted(SHARED.glob("onnx-light/*.onnx"))
CONVERTED = sorted(SHARED.glob("onnx-pytorch-converted/*/model.onnx"))
TABULAR = sorted(path.parent for path in SHARED.glob("tract-tabular/*/io.npz"))


def name(path: Path) -> str:
    return str(path.relative_to(SHARED))


@pytest.fixture
def models() -> Iterator[Models]:
    models = Models()
    yield models
    models.close()


def rows_of(models: Models, path: Path) -> LoadedModel:
    return models.rows(ModelUse("m", facts_of(path)))


def tensor(path: Path) -> np.ndarray:
    return onnx.numpy_helper.to_array(onnx.load_tensor(str(path)))


@pytest.mark.parametrize("path", ALL, ids=name)
def test_the_file_alone_tells_what_the_engine_tells(path: Path) -> None:
    """Free dimensions by name too; where the file leaves one open, the engine may know it."""
    facts = facts_of(path)
    session = OnnxBackend().load(Source(path.name, (path.read_bytes(),), path.parent, path), "cpu", 1)
    for ours, engine in ((facts.inputs, session.inputs), (facts.outputs, session.outputs)):
        assert [(t.name, t.type, len(t.shape)) for t in ours] == [(s.name, s.type, len(s.dims)) for s in engine]
        assert all(
            a in {-1, b}
            for t, s in zip(ours, engine, strict=True)
            for a, b in zip(t.shape, s.tensor.shape, strict=True)
        )


@pytest.mark.parametrize("path", LIGHT, ids=name)
def test_classifiers_with_constant_weights(models: Models, path: Path) -> None:
    loaded = rows_of(models, path)
    shape = loaded.row_inputs[0].shape
    count = int(np.prod(shape))
    row = (np.arange(count, dtype="f4") / count).tobytes()
    expected = tensor(path.with_name(path.stem + "_output_0.pb"))
    np.testing.assert_allclose(np.frombuffer(loaded.run_rows([row])[0], "<f4"), expected.ravel(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("path", CONVERTED, ids=name)
def test_single_layers(models: Models, path: Path) -> None:
    data = path.parent / "test_data_set_0"
    [found] = rows_of(models, path).run_rows([tensor(data / "input_0.pb").tobytes()])
    np.testing.assert_allclose(np.frombuffer(found, "<f4"), tensor(data / "output_0.pb").ravel(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("folder", TABULAR, ids=name)
def test_trees_and_a_byte_lstm_in_one_batch(models: Models, folder: Path) -> None:
    known = np.load(folder / "io.npz")
    loaded = rows_of(models, folder / "model.onnx")
    rows = [row.tobytes() for row in known[loaded.inputs[0].name].astype(DTYPES[loaded.inputs[0].type])]
    found = loaded.run_rows(rows)
    # The recorded output is the last one: what stands before it (a classifier's labels) was not recorded.
    recorded = next(known[key] for key in known if key != loaded.inputs[0].name)
    expected = recorded.reshape(len(rows), -1).astype(DTYPES[loaded.outputs[-1].type])
    ours = np.stack([np.frombuffer(row[-expected[0].nbytes :], expected.dtype) for row in found])
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5)


def test_a_batch_of_sound_windows_scores_as_published(models: Models) -> None:
    """The anomaly detector of MLPerf Tiny on its published recording: 196 windows of 5 frames of 128."""
    folder = SHARED / "mlperf-tiny"
    frames = np.fromfile(folder / "anomaly_detection/oracle/normal_id_01_00000000_hist_librosa.bin", "<f4").reshape(
        200, 128
    )
    windows = np.stack([frames[at : at + 5].ravel() for at in range(196)])
    loaded = rows_of(models, folder / "derived-onnx/ad01_fp32.onnx")
    found = np.stack([np.frombuffer(row, "<f4") for row in loaded.run_rows([row.tobytes() for row in windows])])
    assert np.mean((found - windows) ** 2) == pytest.approx(9.707108, abs=2e-5)


@pytest.mark.parametrize("path", ALL, ids=name)
def test_rows_equal_the_engine_itself(models: Models, path: Path) -> None:
    loaded = rows_of(models, path)
    random = np.random.default_rng(3)
    shapes = [tuple(7 if extent < 0 else extent for extent in t.shape) for t in loaded.row_inputs]
    rows = [
        [(random.random(shape) * 2).astype(DTYPES[t.type]) for t, shape in zip(loaded.inputs, shapes, strict=True)]
        for _ in range(2)
    ]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    engine = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for row, found in zip(rows, loaded.run_rows([b"".join(a.tobytes() for a in row) for row in rows]), strict=True):
        whole = [a if a.ndim == len(t.shape) else a[None] for a, t in zip(row, loaded.inputs, strict=True)]
        expected = engine.run(None, dict(zip((t.name for t in loaded.inputs), whole, strict=True)))
        at = 0
        for array in expected:
            ours = np.frombuffer(found[at : at + array.nbytes], array.dtype)
            np.testing.assert_allclose(ours, array.ravel(), rtol=1e-3, atol=1e-4)
            at += array.nbytes
        assert at == len(found)
