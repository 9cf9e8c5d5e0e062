"""An autoencoder as an ONNX file: features in, score and shares out, standardisation and scale inside."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowrt.demo.autoencoder import CLIP, QUANTILE, Autoencoder
from flowrt.demo.simulator import SENSORS
from flowrt.errors import MissingExtra

_OPSET, _IR = 17, 8
"""Old enough for every engine a gateway may have (ONNX 1.12), new enough for all we use."""


def to_onnx(model: Autoencoder, note: str) -> bytes:
    """The model as ONNX: `features` f32[batch, 24] to `score` f32[batch, 1] and `errors` f32[batch, 8].

    `errors` is how much of the error each sensor's three features make up; a row sums to 1. Equal models give equal
    bytes. `note` becomes the file's description. Raises MissingExtra without the package `onnx`.
    """
    onnx = _onnx()
    helper = onnx.helper
    nodes, constants = _graph(helper, model)
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "pump-ae",
        [tensor("features", onnx.TensorProto.FLOAT, ["batch", len(model.mean)])],
        [
            tensor("score", onnx.TensorProto.FLOAT, ["batch", 1]),
            tensor("errors", onnx.TensorProto.FLOAT, ["batch", len(SENSORS)]),
        ],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    file = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="flowrt",
        doc_string=f"{note}; score 1.0 is the {QUANTILE:.1%} quantile of the validation rows",
    )
    onnx.checker.check_model(file, full_check=True)
    data: bytes = file.SerializeToString(deterministic=True)
    return data


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as missing:
        raise MissingExtra("writing a model", "demo") from missing
    return onnx


def _graph(helper: Any, model: Autoencoder) -> tuple[list[Any], dict[str, Any]]:
    """Nodes and constants, in the order of evaluation."""
    constants: dict[str, Any] = {
        "mean": _f32(model.mean),
        "rescale": _f32(1 / model.scale),
        "low": _f32(-CLIP),
        "high": _f32(CLIP),
        "unit": _f32(model.unit),
        "tiny": _f32(1e-12),
        "per_sensor": _f32(np.tile(np.eye(len(SENSORS)), (len(model.mean) // len(SENSORS), 1))),
        "columns": np.array([1], np.int64),
    }
    nodes: list[Any] = []

    def add(operator: str, inputs: str, output: str, **attributes: object) -> None:
        nodes.append(helper.make_node(operator, inputs.split(), [output], output, **attributes))

    add("Sub", "features mean", "centred")
    add("Mul", "centred rescale", "standard")
    add("Clip", "standard low high", "wanted")
    value = "wanted"
    for number, (weights, bias) in enumerate(model.layers, 1):
        constants[f"weights_{number}"], constants[f"bias_{number}"] = _f32(weights), _f32(bias)
        add("Gemm", f"{value} weights_{number} bias_{number}", f"linear_{number}")
        value = f"linear_{number}"
        if number < len(model.layers):
            add("Tanh", value, f"units_{number}")
            value = f"units_{number}"
    add("Sub", f"{value} wanted", "away")
    add("Mul", "away away", "squares")
    add("ReduceMean", "squares", "error", axes=[1], keepdims=1)
    add("Div", "error unit", "score")
    add("MatMul", "squares per_sensor", "by_sensor")
    add("ReduceSum", "by_sensor columns", "all_sensors", keepdims=1)
    add("Max", "all_sensors tiny", "whole")
    add("Div", "by_sensor whole", "errors")
    return nodes, constants


def _f32(value: object) -> Any:
    return np.asarray(value, np.float32)
