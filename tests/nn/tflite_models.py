"""Small TensorFlow Lite models, made with the schema that comes with LiteRT, without TensorFlow."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ai_edge_litert import schema_py_generated as schema

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "uint8": schema.TensorType.UINT8,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
    "int8": schema.TensorType.INT8,
    "object": schema.TensorType.STRING,
}
Port = tuple[str, str, Sequence[int]]
"""Name, numpy's name of the type (`object` for strings), shape with -1 for a free dimension."""


def model(
    operators: Sequence[tuple[str, Sequence[str], Sequence[str], Any]],
    ports: Sequence[Port],
    inputs: Sequence[str],
    outputs: Sequence[str],
    weights: Mapping[str, np.ndarray] | None = None,
) -> bytes:
    """Operators are a name of `BuiltinOperator`, tensors in and out, and options (an object of the schema) or None."""
    weights = dict(weights or {})
    made = schema.ModelT()
    made.version, made.description = 3, "made by a test"
    made.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    names: list[str] = []
    graph.tensors = []
    for name, kind, shape in [*ports, *((n, w.dtype.name, w.shape) for n, w in weights.items())]:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = name, TYPES[kind], 0
        tensor.shape = [1 if extent < 0 else extent for extent in shape]
        tensor.shapeSignature = list(shape)
        if name in weights:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(weights[name].tobytes(), np.uint8)
            made.buffers.append(buffer)
            tensor.buffer, tensor.shapeSignature = len(made.buffers) - 1, None
        graph.tensors.append(tensor)
        names.append(name)
    graph.inputs, graph.outputs = [names.index(n) for n in inputs], [names.index(n) for n in outputs]
    graph.operators, made.operatorCodes = [], []
    for kind, takes, makes, options in operators:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        number = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.builtinCode, code.version = min(number, 127), number, 1
        made.operatorCodes.append(code)
        operator.opcodeIndex = len(made.operatorCodes) - 1
        operator.inputs, operator.outputs = [names.index(n) for n in takes], [names.index(n) for n in makes]
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        graph.operators.append(operator)
    made.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def dense(activation: int = 0) -> Any:
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction, options.keepNumDims = activation, False
    return options


def autoencoder(weights: Mapping[str, np.ndarray]) -> bytes:
    """The network of `nn_models.autoencoder` with the same weights."""
    operators, ports = [], [("x", "float32", (-1, 16))]
    held: dict[str, np.ndarray] = {}
    last = "x"
    for at in range(4):
        out = "y" if at == 3 else f"h{at}"
        wide = weights[f"w{at}"].shape[1]
        ports.append((out, "float32", (-1, wide)))
        held[f"w{at}"], held[f"b{at}"] = np.ascontiguousarray(weights[f"w{at}"].T), weights[f"b{at}"]
        relu = schema.ActivationFunctionType.RELU if out != "y" else schema.ActivationFunctionType.NONE
        operators.append(("FULLY_CONNECTED", (last, f"w{at}", f"b{at}"), (out,), dense(relu)))
        last = out
    return model(operators, ports, ["x"], ["y"], held)


def double(kind: str = "float32", shape: Sequence[int] = (-1, 3)) -> bytes:
    """y = x + x."""
    return model([("ADD", "xx", "y", schema.AddOptionsT())], [("x", kind, shape), ("y", kind, shape)], ["x"], ["y"])


def backwards(kind: str) -> bytes:
    """y = x[[2, 1, 0]], for any type."""
    return model(
        [("GATHER", ("x", "i"), ("y",), schema.GatherOptionsT())],
        [("x", kind, (3,)), ("y", kind, (3,))],
        ["x"],
        ["y"],
        {"i": np.array([2, 1, 0], "i4")},
    )


def signed(names: Mapping[str, str], *, same: bool = False) -> bytes:
    """A file with a graph and a signature for each name: `out` is the operator of `a` and `b`, and the graphs take `b`
    first, as converters that sort by address may leave it. `same`: of `a` and `a`, and there is no `b`."""
    ports = "a" if same else "ba"
    made, held = schema.ModelT(), []
    made.version, made.description, made.buffers = 3, "made by a test", [schema.BufferT()]
    made.operatorCodes, made.signatureDefs = [], []
    for index, (name, kind) in enumerate(names.items()):
        one = schema.ModelT.InitFromObj(
            schema.Model.GetRootAs(
                model(
                    [(kind, "aa" if same else "ab", "y", None)],
                    [(port, "float32", (-1, 3)) for port in f"{ports}y"],
                    ports,
                    "y",
                )
            )
        )
        held.append(one.subgraphs[0])
        one.subgraphs[0].operators[0].opcodeIndex = index
        made.operatorCodes += one.operatorCodes
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = name, index
        signature.inputs, signature.outputs = (
            [_named(port, ports.index(port)) for port in sorted(ports)],
            [_named("out", len(ports))],
        )
        made.signatureDefs.append(signature)
    made.subgraphs = held
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _named(name: str, index: int) -> Any:
    found = schema.TensorMapT()
    found.name, found.tensorIndex = name, index
    return found
