"""One guest and the published anomaly score of a recording (MLPerf Tiny), with every engine that is installed."""

from __future__ import annotations

import struct
from importlib.util import find_spec
from pathlib import Path

import pytest
from commands import command, run
from nn_models import SHARED
from test_exec import NN

FOLDER = SHARED / "mlperf-tiny"
RECORDING = FOLDER / "anomaly_detection/oracle/normal_id_01_00000000_hist_librosa.bin"
PUBLISHED = 9.707108
MODELS = {
    "onnx": ("onnxruntime", f"onnx:{FOLDER}/derived-onnx/ad01_fp32.onnx"),
    "tensorflowlite": ("ai_edge_litert", f"tflite:{FOLDER}/anomaly_detection/trained_models/ad01_fp32.tflite"),
    "openvino": ("openvino", f"openvino:{FOLDER}/derived-openvino-ir/ad01_fp32.xml"),
    "openvino, two paths": (
        "openvino",
        "openvino@cpu:{0}/ad01_fp32.xml,{0}/ad01_fp32.bin".format(FOLDER / "derived-openvino-ir"),
    ),
}
WINDOWS = 196
SCORE = f"""
  (local $window i32) (local $at i32) (local $away f64) (local $sum f64)
  (if (call $open (i32.const 3) (i32.const 0) (i32.const 512) (i32.const 8) (i32.const 0) (i64.const 2) (i64.const 0)
      (i32.const 0) (i32.const 32))
    (then (call $exit (i32.const 9))))
  (local.set $at (i32.const 65536))
  (loop $more
    (i32.store (i32.const 16) (local.get $at)) (i32.store (i32.const 20) (i32.const 16384))
    (drop (call $read (i32.load (i32.const 32)) (i32.const 16) (i32.const 1) (i32.const 24)))
    (local.set $at (i32.add (local.get $at) (i32.load (i32.const 24))))
    (br_if $more (i32.load (i32.const 24))))
  (local.set $n (call $load (i32.const 525) (i32.const 1) (i32.const 600)))
  (if (local.get $n) (then (call $exit (local.get $n))))
  (drop (call $init (i32.load (i32.const 600)) (i32.const 604)))
  (loop $windows
    (i32.store (i32.const 572) (i32.add (i32.const 65536) (i32.shl (local.get $window) (i32.const 9))))
    (local.set $n (i32.or (i32.or
      (call $set (i32.load (i32.const 604)) (i32.const 0) (i32.const 560))
      (call $compute (i32.load (i32.const 604))))
      (call $get (i32.load (i32.const 604)) (i32.const 0) (i32.const 196608) (i32.const 2560) (i32.const 608))))
    (if (local.get $n) (then (call $exit (local.get $n))))
    (local.set $at (i32.const 0))
    (loop $values
      (local.set $away (f64.promote_f32 (f32.sub
        (f32.load (i32.add (i32.load (i32.const 572)) (local.get $at)))
        (f32.load offset=196608 (local.get $at)))))
      (local.set $sum (f64.add (local.get $sum) (f64.mul (local.get $away) (local.get $away))))
      (br_if $values (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (i32.const 2560))))
    (br_if $windows
      (i32.lt_u (local.tee $window (i32.add (local.get $window) (i32.const 1))) (i32.const {WINDOWS}))))
  (f64.store (i32.const 2048) (f64.div (local.get $sum) (f64.const {WINDOWS * 640})))
  (call $print (i32.const 1) (i32.const 2048) (i32.const 8))"""
TABLES = """
  (data (i32.const 512) "file.bin") (data (i32.const 525) "m") (data (i32.const 528) "\\01\\00\\00\\00\\80\\02\\00\\00")
  (data (i32.const 560) "\\10\\02\\00\\00\\02\\00\\00\\00\\01\\42\\10\\00\\00\\00\\01\\00\\00\\0a\\00\\00")"""


@pytest.mark.skipif(not RECORDING.exists(), reason="the models of MLPerf Tiny are not here")
@pytest.mark.parametrize("name", MODELS)
def test_the_published_score(name: str, tmp_path: Path) -> None:
    """Five frames of 128 values make a window; the score is the mean squared error over all windows."""
    package, model = MODELS[name]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    (tmp_path / "file.bin").write_bytes(RECORDING.read_bytes())
    done = run(tmp_path, command(SCORE, TABLES, NN), "--dir", f"{tmp_path}::/in", "--nn", f"m={model}")
    assert done.status == 0, done.errors
    assert struct.unpack("<d", done.out)[0] == pytest.approx(PUBLISHED, rel=3e-6)
