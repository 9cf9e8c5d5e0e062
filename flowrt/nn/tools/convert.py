"""From one format to another, by the converters that others maintain."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from flowrt.errors import MissingExtra
from flowrt.nn import encodings, files
from flowrt.nn.faults import ModelFault
from flowrt.nn.tensor_text import parse_slots

_WAYS = (
    "TorchScript to .onnx, TensorFlow (a SavedModel's folder, .tflite) to .onnx, .onnx or .tflite to .xml (OpenVINO)"
)
_TAIL = 5


def convert(source: Path, target: Path, inputs: Sequence[str] = ()) -> str:
    """Returns what did it. Raises `ModelFault`, `MissingExtra`, ValueError."""
    found = "tensorflow" if source.is_dir() else files.read(source).encoding
    if target.suffix == ".onnx" and found == "pytorch":
        return _torch(source, target, inputs)
    if target.suffix == ".onnx" and found in {"tensorflow", "tensorflowlite"}:
        return _tensorflow(source, target, "--saved-model" if source.is_dir() else "--tflite")
    if target.suffix == ".xml" and found in {"onnx", "tensorflowlite"}:
        return _openvino(source, target)
    raise ModelFault(
        "unsupported-operation", f"there is no way from {found} to {target.suffix or target}; there are: {_WAYS}"
    )


def _torch(source: Path, target: Path, inputs: Sequence[str]) -> str:
    if encodings.missing("pytorch") is not None:
        raise MissingExtra("converting TorchScript", "pytorch")
    if find_spec("onnx") is None:
        raise MissingExtra("writing ONNX", "tools")
    slots = parse_slots(inputs)
    if not slots:
        raise ModelFault(
            "invalid-argument", "TorchScript does not say its tensors; give --input 'x: f32[N, 16]' for each"
        )
    from flowrt.nn.backends.pytorch import export_onnx

    export_onnx(source.read_bytes(), str(target), slots, source.name)
    return "torch.onnx"


def _openvino(source: Path, target: Path) -> str:
    if encodings.missing("openvino") is not None:
        raise MissingExtra("OpenVINO's format", "openvino")
    from flowrt.nn.backends.openvino import save_ir

    save_ir(source, target)
    return "openvino"


def _tensorflow(source: Path, target: Path, option: str) -> str:
    absent = [name for name in ("tf2onnx", "tensorflow") if find_spec(name) is None]
    if absent:
        raise ModelFault(
            "invalid-encoding",
            "tf2onnx converts it, and needs TensorFlow: pip install tf2onnx tensorflow-cpu "
            f"(missing: {', '.join(absent)})",
        )
    command = [sys.executable, "-m", "tf2onnx.convert", option, str(source), "--output", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 the user's own files
    if done.returncode:
        tail = " ".join(done.stderr.strip().splitlines()[-_TAIL:])
        raise ModelFault("runtime-error", f"tf2onnx failed: {tail[-400:]}")
    return "tf2onnx"
