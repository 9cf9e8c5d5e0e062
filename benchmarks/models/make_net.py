"""Make net.onnx: 16-32-8-32-16, ReLU between the layers, none after the last.

Weight i of a layer with n inputs, counted row by row, is sin(i) / sqrt(n), so that every system measured can build the
same network from the rule alone. Usage: python -m benchmarks.models.make_net
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

LAYERS = (16, 32, 8, 32, 16)
PATH = Path(__file__).with_name("net.onnx")


def weights() -> list[np.ndarray]:
    """One matrix a layer, inputs by outputs, float32."""
    return [
        (np.sin(np.arange(inputs * outputs)) / np.sqrt(inputs)).astype(np.float32).reshape(inputs, outputs)
        for inputs, outputs in pairwise(LAYERS)
    ]


def score(values: list[float]) -> float:
    """What the whole job makes of one reading, computed by the definition: scale, network, sum of squares."""
    x = np.asarray(values, np.float32) * np.float32(0.1)
    layers = weights()
    for index, matrix in enumerate(layers):
        x = x @ matrix
        if index < len(layers) - 1:
            x = np.maximum(x, 0)
    return float((x * x).sum())


def main() -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    layers = weights()
    nodes, name = [], "x"
    for index in range(len(layers)):
        last = index == len(layers) - 1
        product = "y" if last else f"product{index}"
        nodes.append(helper.make_node("MatMul", [name, f"w{index}"], [product]))
        name = product
        if not last:
            name = f"hidden{index}"
            nodes.append(helper.make_node("Relu", [product], [name]))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", LAYERS[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", LAYERS[-1]])],
        [numpy_helper.from_array(matrix, f"w{index}") for index, matrix in enumerate(layers)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="flowrt")
    onnx.checker.check_model(model)
    PATH.write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
