"""The same small models for every engine that is installed: what a backend promises is promised by each."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nn_models import F32, autoencoder, autoencoder_weights, model, node

from flowrt.nn.backend import Session, Source
from flowrt.nn.encodings import backend_for
from flowrt.nn.tensor_text import parse_slots


@dataclass(frozen=True)
class Made:
    """A model as one engine takes it."""

    encoding: str
    suffix: str
    parts: tuple[bytes, ...]
    inputs: tuple[str, ...] = ()
    """What must be declared of it, where the format says nothing."""

    def source(self, label: str = "m") -> Source:
        return Source(label, self.parts, inputs=parse_slots(self.inputs))

    def load(self, target: str = "cpu") -> Session:
        return backend_for(self.encoding).load(self.source(), target, 1)

    def write(self, folder: Path, stem: str = "m") -> Path:
        for suffix, part in zip((self.suffix, ".bin"), self.parts, strict=False):
            (folder / (stem + suffix)).write_bytes(part)
        return folder / (stem + self.suffix)

    def cut(self, length: int) -> Made:
        return replace(self, parts=(self.parts[0][:length], *self.parts[1:]))


def openvino_ir(onnx: bytes) -> Made:
    import openvino

    read = openvino.Core().read_model(onnx)
    folder = Path(__import__("tempfile").mkdtemp())
    openvino.save_model(read, folder / "m.xml", compress_to_fp16=False)
    return Made("openvino", ".xml", ((folder / "m.xml").read_bytes(), (folder / "m.bin").read_bytes()))


def torchscript(module: Any, *inputs: str) -> Made:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.script(module.eval()), buffer)
    return Made("pytorch", ".pt", (buffer.getvalue(),), inputs)


def _torch_autoencoder() -> Made:
    import torch

    layers: list[Any] = []
    for at, (weight, bias) in enumerate(zip(*[iter(autoencoder_weights().values())] * 2, strict=True)):
        layer = torch.nn.Linear(*weight.shape)
        layer.weight.data, layer.bias.data = torch.from_numpy(weight.T.copy()), torch.from_numpy(bias)
        layers += [layer] if at == 3 else [layer, torch.nn.ReLU()]
    return torchscript(torch.nn.Sequential(*layers), "x: f32[N, 16]")


def _torch_two() -> Made:
    import torch

    class Two(torch.nn.Module):
        def forward(self, a, b):
            return a + b, a * b

    return torchscript(Two(), "a: f32[2]", "b: f32[2]")


def _tflite_autoencoder() -> Made:
    import tflite_models

    return Made("tensorflowlite", ".tflite", (tflite_models.autoencoder(autoencoder_weights()),))


def _tflite_two() -> Made:
    import tflite_models as t

    ports = [(name, "float32", (2,)) for name in ("a", "b", "sum", "product")]
    operators = [
        ("ADD", ("a", "b"), ("sum",), t.schema.AddOptionsT()),
        ("MUL", ("a", "b"), ("product",), t.schema.MulOptionsT()),
    ]
    return Made("tensorflowlite", ".tflite", (t.model(operators, ports, ["a", "b"], ["sum", "product"]),))


def onnx_two() -> bytes:
    nodes = [node("Add", "a b", "sum"), node("Mul", "a b", "product")]
    return model(nodes, [("a", F32, [2]), ("b", F32, [2])], [("sum", F32, [2]), ("product", F32, [2])])


ENGINES: dict[str, tuple[str, Callable[[], Made], Callable[[], Made]]] = {
    "onnx": (
        "onnxruntime",
        lambda: Made("onnx", ".onnx", (autoencoder(),)),
        lambda: Made("onnx", ".onnx", (onnx_two(),)),
    ),
    "openvino-ir": ("openvino", lambda: openvino_ir(autoencoder()), lambda: openvino_ir(onnx_two())),
    "openvino-onnx": (
        "openvino",
        lambda: Made("openvino", ".onnx", (autoencoder(),)),
        lambda: Made("openvino", ".onnx", (onnx_two(),)),
    ),
    "tflite": ("ai_edge_litert", _tflite_autoencoder, _tflite_two),
    "pytorch": ("torch", _torch_autoencoder, _torch_two),
}
"""By name: the package, and what makes 16-32-8-32-16, and what makes sum and product of two pairs."""


def engine_params() -> list[Any]:
    return [
        pytest.param(name, marks=pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed"))
        for name, (package, *_) in ENGINES.items()
    ]


def expected(rows: np.ndarray) -> np.ndarray:
    """What 16-32-8-32-16 makes of rows, in numpy alone."""
    weights = autoencoder_weights()
    for at in range(4):
        rows = rows @ weights[f"w{at}"] + weights[f"b{at}"]
        rows = rows if at == 3 else np.maximum(rows, 0)
    return rows
