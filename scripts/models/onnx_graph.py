"""Putting an ONNX file together, the same bytes each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx.checker
from onnx import helper

from scripts.models.fit import Layers

_OPSET, _IR = 17, 8
"""Old enough for every engine a gateway may have (ONNX 1.12)."""


class Graph:
    """Nodes in the order they are added, constants by name."""

    def __init__(self) -> None:
        self.constants: dict[str, Any] = {}
        self._nodes: list[Any] = []

    def add(self, operator: str, inputs: str, output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs.split(), [output], output, **attributes))
        return output

    def dense(self, layers: Layers, value: str) -> str:
        """Dense layers with tanh between them, then softmax into `scores`."""
        for number, (weights, bias) in enumerate(layers, 1):
            self.constants[f"weights_{number}"] = np.asarray(weights, "f4")
            self.constants[f"bias_{number}"] = np.asarray(bias, "f4")
            value = self.add("Gemm", f"{value} weights_{number} bias_{number}", f"dense_{number}")
            if number < len(layers):
                value = self.add("Tanh", value, f"tanh_{number}")
        return self.add("Softmax", value, "scores", axis=1)

    def file(
        self, name: str, note: str, inputs: Mapping[str, tuple[int, Sequence[int | str]]], outputs: Mapping[str, int]
    ) -> bytes:
        """Outputs are f32[batch, n]."""
        tensor, f32 = helper.make_tensor_value_info, onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self._nodes,
            name,
            [tensor(label, kind, dims) for label, (kind, dims) in inputs.items()],
            [tensor(label, f32, ["batch", count]) for label, count in outputs.items()],
            [onnx.numpy_helper.from_array(value, label) for label, value in self.constants.items()],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR, producer_name="flowrt",
            doc_string=note,
        )  # fmt: skip
        onnx.checker.check_model(model, full_check=True)
        data: bytes = model.SerializeToString(deterministic=True)
        return data
