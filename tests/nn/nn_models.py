"""Small ONNX models, made where they are needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from flowrt.graph.facts import ModelFacts
from flowrt.graph.plan import ModelUse
from flowrt.nn.inspect import inspect_model

F32, F64, F16, U8, I8, I64, BOOL, U32 = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.UINT8,
    TensorProto.INT8,
    TensorProto.INT64,
    TensorProto.BOOL,
    TensorProto.UINT32,
)
SHARED = Path(os.environ.get("FLOWRT_SHARED", Path(__file__).parents[3] / "shared")) / "nn"

Port = tuple[str, int, Sequence[Any]]


def model(nodes: Sequence[Any], inputs: Sequence[Port], outputs: Sequence[Port], **weights: Any) -> bytes:
    """A model of ONNX nodes; weights are numpy arrays by name."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(*port) for port in inputs],
        [helper.make_tensor_value_info(*port) for port in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def double(kind: int = F32, dims: Sequence[Any] = ("N", 3)) -> bytes:
    """y = x + x, any type and shape."""
    return model([node("Add", "x x", "y")], [("x", kind, dims)], [("y", kind, dims)])


def autoencoder_weights() -> dict[str, np.ndarray]:
    """Of 16-32-8-32-16, fixed and pseudo-random: w0 and b0 to w3 and b3."""
    random = np.random.default_rng(7)
    weights: dict[str, np.ndarray] = {}
    for i, (wide, narrow) in enumerate(pairwise((16, 32, 8, 32, 16))):
        weights[f"w{i}"] = random.normal(size=(wide, narrow)).astype("f4")
        weights[f"b{i}"] = random.normal(size=narrow).astype("f4")
    return weights


def autoencoder(batch: str | int = "N") -> bytes:
    """16-32-8-32-16 with those weights."""
    weights = autoencoder_weights()
    nodes, last = [], "x"
    for i in range(4):
        out = "y" if i == 3 else f"h{i}"
        nodes.append(node("Gemm", f"{last} w{i} b{i}", out if out == "y" else f"g{i}"))
        if out != "y":
            nodes.append(node("Relu", f"g{i}", out))
        last = out
    return model(nodes, [("x", F32, [batch, 16])], [("y", F32, [batch, 16])], **weights)


def facts_of(path: Path) -> ModelFacts:
    found = inspect_model(path)
    assert isinstance(found, ModelFacts), found
    return found


def use(folder: Path, data: bytes, name: str = "m") -> ModelUse:
    """The model as a file of `folder`, as the node `name` would use it."""
    path = folder / f"{name}.onnx"
    path.write_bytes(data)
    return ModelUse(name, facts_of(path))


def external(folder: Path, location: str, *, hidden: bool = False) -> Path:
    """A model whose weight lies in another file; `hidden` puts it into a constant of a branch of a condition."""
    weight = onnx.numpy_helper.from_array(np.arange(4, dtype="f4"), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": "16"}.items():
        weight.external_data.add(key=key, value=value)
    ports = [helper.make_tensor_value_info("y", F32, [4])]
    nodes, weights = [node("Add", "x w", "y")], [weight]
    if hidden:
        branch = helper.make_graph(
            [node("Constant", "", "c", value=weight)], "b", [], [helper.make_tensor_value_info("c", F32, [4])]
        )
        nodes, weights = [node("If", "t", "y", then_branch=branch, else_branch=branch)], []
    inputs = [helper.make_tensor_value_info("x", F32, [4]), helper.make_tensor_value_info("t", TensorProto.BOOL, [])]
    made = helper.make_model(
        helper.make_graph(nodes, "g", inputs, ports, weights), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    path = folder / "m.onnx"
    path.write_bytes(made.SerializeToString())
    return path
