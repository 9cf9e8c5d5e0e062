"""The formats of models: their names, how a file shows which it is, and which backend runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flowrt.nn import onnx_file
from flowrt.nn.faults import ModelFault
from flowrt.problem import nearest

if TYPE_CHECKING:
    from flowrt.nn.backend import Backend

ENCODINGS = ("openvino", "onnx", "tensorflow", "pytorch", "tensorflowlite", "ggml", "autodetect")
"""As in wasi-nn's WIT, in its order."""
ALIASES = {"tflite": "tensorflowlite", "gguf": "ggml"}
_SUFFIXES = {
    ".onnx": "onnx",
    ".tflite": "tensorflowlite",
    ".gguf": "ggml",
    ".xml": "openvino",
    ".pt": "pytorch",
    ".pth": "pytorch",
    ".pb": "tensorflow",
}
_REMEDIES = {
    "tensorflow": "convert it to ONNX: python -m tf2onnx.convert --saved-model DIR --output model.onnx",
    "tensorflowlite": "convert it to ONNX: python -m tf2onnx.convert --tflite model.tflite --output model.onnx",
    "pytorch": "export it to ONNX with torch.onnx.export",
    "openvino": "use the ONNX model it was made from",
}


def spell(text: str) -> str:
    """The WIT spelling of an encoding, or ValueError with the remedy."""
    name = ALIASES.get(text, text)
    if name not in ENCODINGS:
        raise ValueError(f"'{text}' is no encoding{nearest(text, (*ENCODINGS, *ALIASES))}")
    return name


def sniff(data: bytes) -> str | None:
    """The encoding that a model's first bytes show, or None where they show none."""
    if data[:4] == b"GGUF":
        return "ggml"
    if data[4:8] == b"TFL3":
        return "tensorflowlite"
    if data[:4] == b"PK\x03\x04":
        return "pytorch"
    if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<net")):
        return "openvino"
    return "onnx" if onnx_file.looks_like(data) else None


def detect(data: bytes, declared: str | None, suffix: str = "") -> str | None:
    """What a model is: by its bytes where they are plain, then as declared, then by its file's suffix."""
    if declared is not None and declared != "autodetect":
        return sniff(data) or declared
    return sniff(data) or _SUFFIXES.get(suffix.lower())


def of_bytes(data: bytes, declared: str | None) -> str:
    """As `detect`, for bytes without a name. Raises `ModelFault` when nothing tells."""
    found = detect(data, declared)
    if found is None:
        raise ModelFault("invalid-encoding", "the bytes show no format flowrt knows; name the encoding")
    return found


def backend_for(encoding: str) -> Backend:
    """The engine for an encoding. Raises `ModelFault` with the remedy where there is none."""
    make = BACKENDS.get(encoding)
    if make is None:
        remedy = _REMEDIES.get(encoding)
        raise ModelFault(
            "invalid-encoding",
            f"no engine for {encoding} models here; flowrt runs {', '.join(BACKENDS)}"
            + (f"; {remedy}" if remedy else ""),
        )
    return make()


def _onnx() -> Backend:
    from flowrt.nn.backends.onnx import OnnxBackend

    return OnnxBackend()


BACKENDS: Mapping[str, Callable[[], Backend]] = {"onnx": _onnx}
"""By encoding. Each imports its engine when it is first asked for."""
