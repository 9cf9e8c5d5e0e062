"""The formats of models: their names, how a file shows which it is, and which backend runs it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from flowrt.graph.facts import ADDRESSES
from flowrt.nn import onnx_file
from flowrt.nn.faults import ModelFault
from flowrt.problem import nearest
from flowrt.values import Struct

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
    ".pt2": "pytorch",
    ".pb": "tensorflow",
}
REMOTE = "remote"
"""Not a format: a model that an inference server has, named by an address instead of a file."""
TRUSTING = frozenset({"openvino", "tensorflowlite", "pytorch", "ggml"})
"""Whose engines end the process over some broken models (assertions in native code) instead of refusing them."""
_CONVERT_TENSORFLOW = (
    "no engine runs TensorFlow's own format here; convert it: flowrt model convert FOLDER model.onnx (tf2onnx), or to "
    "TensorFlow Lite with tf.lite.TFLiteConverter"
)


class Engine(Struct, frozen=True):
    """One engine: where its backend is, and how a machine gets it."""

    encoding: str
    module: str
    """Below `flowrt.nn.backends`; importing it imports the engine."""
    backend: str
    package: str
    """What Python imports."""
    distribution: str
    extra: str | None
    """Of flowrt; None: always installed."""

    @property
    def remedy(self) -> str:
        """What to type where it is missing."""
        return f"pip install 'flowrt[{self.extra}]'"

    def present(self) -> bool:
        """Whether it is installed, found out without importing it."""
        return find_spec(self.package.partition(".")[0]) is not None

    def load(self) -> Backend:
        """Import it. Raises `ModelFault` that names the pip command."""
        if not self.present():
            raise ModelFault("invalid-encoding", f"no engine for {self.encoding} models here: {self.remedy}")
        try:
            made: Backend = getattr(import_module(f"flowrt.nn.backends.{self.module}"), self.backend)()
        except (ImportError, OSError) as error:
            raise ModelFault(
                "invalid-encoding",
                f"{self.distribution} is installed but does not load ({error}); install it again: {self.remedy}",
            ) from error
        return made


ENGINES: Mapping[str, Engine] = {
    engine.encoding: engine
    for engine in (
        Engine("onnx", "onnx", "OnnxBackend", "onnxruntime", "onnxruntime", None),
        Engine("openvino", "openvino", "OpenVinoBackend", "openvino", "openvino", "openvino"),
        Engine("tensorflowlite", "litert", "LiteRtBackend", "ai_edge_litert", "ai-edge-litert", "tflite"),
        Engine("pytorch", "pytorch", "TorchBackend", "torch", "torch", "pytorch"),
        Engine("ggml", "ggml", "GgmlBackend", "llama_cpp", "llama-cpp-python", "ggml"),
        Engine(REMOTE, "remote", "RemoteBackend", "urllib3", "urllib3", "remote"),
    )
}
"""By encoding."""


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
    if data[:4] == b"PK\x03\x04" or data[:2] == b"\x80\x02":  # the latter is a bare pickle, to be refused in words
        return "pytorch"
    if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<net")):
        return "openvino"
    return "onnx" if onnx_file.looks_like(data) else None


def detect(data: bytes, declared: str | None, suffix: str = "") -> str | None:
    """What a model is: by its bytes where they are plain, then as declared, then by its file's suffix. OpenVINO runs
    ONNX files as well, when it is asked to."""
    found = sniff(data)
    if declared is not None and declared != "autodetect":
        return declared if found is None or (declared, found) == ("openvino", "onnx") else found
    return found or _SUFFIXES.get(suffix.lower())


def of_bytes(data: bytes, declared: str | None) -> str:
    """As `detect`, for bytes without a name. Raises `ModelFault` when nothing tells."""
    found = detect(data, declared)
    if found is None:
        raise ModelFault("invalid-encoding", "the bytes show no format flowrt knows; name the encoding")
    return found


def is_remote(path: str) -> bool:
    """Whether a model's path is the address of a server's model."""
    return path.startswith(ADDRESSES)


def missing(encoding: str) -> str | None:
    """Why no engine here runs an encoding and what to do, or None where one is installed."""
    engine = ENGINES.get(encoding)
    if engine is None:
        return _CONVERT_TENSORFLOW if encoding == "tensorflow" else f"no engine runs {encoding} models"
    return None if engine.present() else f"no engine for {encoding} models here: {engine.remedy}"


def backend_for(encoding: str) -> Backend:
    """The engine for an encoding, made once a process. Raises `ModelFault` with the remedy where there is none."""
    with _lock:
        if encoding not in _loaded:
            if encoding not in ENGINES:
                raise ModelFault("invalid-encoding", missing(encoding) or "")
            _loaded[encoding] = ENGINES[encoding].load()
        return _loaded[encoding]


_lock = threading.Lock()
_loaded: dict[str, Backend] = {}
