"""TensorFlow Lite models on LiteRT: the only file that imports it."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from flowrt.nn import tflite_file
from flowrt.nn.backend import Array, AtOnce, Session, Source
from flowrt.nn.backends.litert_operator import failing_operator
from flowrt.nn.described import Signature
from flowrt.nn.faults import ModelFault
from flowrt.nn.fits import check

_ERRORS = (RuntimeError, ValueError, TypeError, MemoryError)
_FAILED = re.compile(r"Node number (\d+) \((\S+)\) failed to (?:prepare|invoke)\.")
_POSITION = re.compile(r"\S+\.(?:cc|h):\d+ ")
"""Where in its source the engine stood; nobody here can use that."""
_DETAIL_MAX = 400
_DELEGATE = "Delegate"
"""What the names of delegates hold: the engine names one in the place of the operator that failed in it."""
_SHAPES_MAX = 8
"""Shapes of inputs for which it is remembered which operator failed."""


class LiteRtBackend:
    """Loads models into LiteRT."""

    engine = f"LiteRT {version('ai-edge-litert')}"

    def targets(self) -> Mapping[str, str]:
        """The wheels for Linux bring the processor alone: accelerators need a delegate of their maker."""
        return {"cpu": "CPU (XNNPACK)"}

    def load(self, source: Source, target: str, threads: int) -> Session:
        if len(source.parts) != 1:
            raise ModelFault(
                "invalid-argument", f"'{source.label}': TensorFlow Lite is one file, not {len(source.parts)}"
            )
        if target not in self.targets():
            raise ModelFault(
                "unsupported-operation", f"model '{source.label}' asks for target {target}; LiteRT here has CPU"
            )
        described = tflite_file.read(source.parts[0], source.label)
        name, signature = tflite_file.signature_of(described, source.options, source.label)
        tensors = Signature(described.inputs, described.outputs) if signature is None else signature
        return LiteRtSession(source.label, source.parts[0], threads, tensors, name)


class LiteRtSession(AtOnce):
    """One model in LiteRT. Its interpreter holds the tensors, so that runs of several threads take turns."""

    device = "CPU (XNNPACK)"

    def __init__(self, label: str, data: bytes, threads: int, tensors: Signature, signature: str = "") -> None:
        """`signature` is the function of the file to run; unnamed, its first graph."""
        self.label, self.inputs, self.outputs = label, tensors.inputs, tensors.outputs
        self._signature = signature
        self._data: bytes | None = data
        self._threads = threads
        self._lock = threading.Lock()
        self._failing: dict[tuple[tuple[int, ...], ...], str] = {}
        """By the shapes of the inputs: what the engine said without its delegate."""
        self._make()

    def run(self, arrays: Sequence[Array | None]) -> Sequence[Array]:
        check(self.label, self.inputs, arrays)
        with self._lock:
            if self._data is None:
                raise ModelFault("runtime-error", f"model '{self.label}' was released")
            try:
                return self._run(arrays)
            except _ERRORS as error:
                # An interpreter that failed half-way is not to be used again.
                self._make()
                raise ModelFault("runtime-error", f"model '{self.label}': {self._told(error, arrays)}") from error

    def memory_bytes(self) -> int:
        """The file, and the tensors at their present shapes."""
        return len(self._data) + self._tensors if self._data is not None else 0

    def close(self) -> None:
        with self._lock:
            self._data = None
            self._interpreter: Any = None
            self._runner: Any = None

    def _make(self) -> None:
        try:
            self._interpreter = Interpreter(model_content=self._data, num_threads=self._threads)
            self._interpreter.allocate_tensors()  # tells here, not in the first run, of operators it does not have
            details = [self._interpreter.get_input_details(), self._interpreter.get_output_details()]
            if self._signature:
                self._runner = runner = self._interpreter.get_signature_runner(self._signature)
                details = [[*runner.get_input_details().values()], [*runner.get_output_details().values()]]
            self._given, self._made = [[detail["index"] for detail in side] for side in details]
            self._shapes: list[tuple[int, ...]] = []
            self._tensors = sum(
                int(np.prod(detail["shape"])) * np.dtype(detail["dtype"]).itemsize
                for side in details
                for detail in side
            )
        except _ERRORS as error:
            raise ModelFault(
                "too-large" if isinstance(error, MemoryError) else "runtime-error",
                f"model '{self.label}' does not load: {words(error)}",
            ) from error

    def _run(self, arrays: Sequence[Array | None]) -> list[Array]:
        present = [array for array in arrays if array is not None]
        if self._signature:
            named = zip(self.inputs, present, strict=True)
            made = self._runner(**{slot.name: array for slot, array in named})
            return [np.asarray(made[slot.name]) for slot in self.outputs]
        interpreter = self._interpreter
        shapes = [array.shape for array in present]
        if shapes != self._shapes:
            for index, slot, array in zip(self._given, self.inputs, present, strict=True):
                if slot.type != "string":
                    interpreter.resize_tensor_input(index, array.shape, strict=False)
            interpreter.allocate_tensors()
            self._shapes = shapes
        for index, array in zip(self._given, present, strict=True):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return [np.asarray(interpreter.get_tensor(index)) for index in self._made]  # a scalar comes as a number

    def _told(self, error: BaseException, arrays: Sequence[Array | None]) -> str:
        """What the engine said; where that names its delegate, what it says of these inputs without."""
        text, match = words(error), _FAILED.search(str(error))
        texts = any(slot.type == "string" for slot in self.inputs)
        if self._data is None or match is None or _DELEGATE not in match[2] or texts:
            return text
        given = {slot.name: array for slot, array in zip(self.inputs, arrays, strict=True) if array is not None}
        shapes = tuple(array.shape for array in given.values())
        if shapes not in self._failing:
            if len(self._failing) >= _SHAPES_MAX:
                self._failing.clear()
            self._failing[shapes] = failing_operator(self._data, self._signature, given) or text
        return self._failing[shapes]


def words(error: BaseException) -> str:
    """What the engine said, on one line: which operator failed and why."""
    text = " ".join(_POSITION.sub("", str(error)).split())
    match = _FAILED.search(text)
    if match:
        text = f"operator {match[2]} (number {match[1]}) failed: {_FAILED.sub('', text).strip()}"
    return text[:_DETAIL_MAX]


def without_delegates(data: bytes, signature: str, inputs: Mapping[str, Array]) -> None:
    """Run a model once, each operator by itself. Raises what the engine raises."""
    alone = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=alone)
    if signature:
        interpreter.get_signature_runner(signature)(**inputs)
        return
    given = list(zip((detail["index"] for detail in interpreter.get_input_details()), inputs.values(), strict=True))
    for index, array in given:
        interpreter.resize_tensor_input(index, array.shape, strict=False)
    interpreter.allocate_tensors()
    for index, array in given:
        interpreter.set_tensor(index, array)
    interpreter.invoke()
