"""TensorFlow Lite models on LiteRT: the only file that imports it."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from flowrt.nn import tflite_file
from flowrt.nn.backend import Array, AtOnce, Session, Slot, Source
from flowrt.nn.faults import ModelFault
from flowrt.nn.fits import check

_ERRORS = (RuntimeError, ValueError, TypeError, MemoryError)
_FAILED = re.compile(r"Node number (\d+) \((\S+)\) failed to (?:prepare|invoke)\.")
_POSITION = re.compile(r"\S+\.(?:cc|h):\d+ ")
"""Where in its source the engine stood; nobody here can use that."""
_DETAIL_MAX = 400


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
        return LiteRtSession(source.label, source.parts[0], threads, described.inputs, described.outputs)


class LiteRtSession(AtOnce):
    """One model in LiteRT. Its interpreter holds the tensors, so that runs of several threads take turns."""

    device = "CPU (XNNPACK)"

    def __init__(
        self, label: str, data: bytes, threads: int, inputs: tuple[Slot, ...], outputs: tuple[Slot, ...]
    ) -> None:
        self.label, self.inputs, self.outputs = label, inputs, outputs
        self._data: bytes | None = data
        self._threads = threads
        self._lock = threading.Lock()
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
                raise ModelFault("runtime-error", f"model '{self.label}': {self._words(error)}") from error

    def memory_bytes(self) -> int:
        """The file, and the tensors at their present shapes."""
        return len(self._data) + self._tensors if self._data is not None else 0

    def close(self) -> None:
        with self._lock:
            self._data = None
            self._interpreter: Any = None

    def _make(self) -> None:
        try:
            self._interpreter = Interpreter(model_content=self._data, num_threads=self._threads)
            self._interpreter.allocate_tensors()  # tells here, not in the first run, of operators it does not have
            self._given = [detail["index"] for detail in self._interpreter.get_input_details()]
            self._made = [detail["index"] for detail in self._interpreter.get_output_details()]
            self._shapes: list[tuple[int, ...]] = []
            self._tensors = sum(
                int(np.prod(detail["shape"])) * np.dtype(detail["dtype"]).itemsize
                for detail in (*self._interpreter.get_input_details(), *self._interpreter.get_output_details())
            )
        except _ERRORS as error:
            raise ModelFault(
                "too-large" if isinstance(error, MemoryError) else "runtime-error",
                f"model '{self.label}' does not load: {self._words(error)}",
            ) from error

    def _run(self, arrays: Sequence[Array | None]) -> list[Array]:
        interpreter = self._interpreter
        present = [array for array in arrays if array is not None]
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

    @staticmethod
    def _words(error: BaseException) -> str:
        """What the engine said, on one line: which operator failed and why."""
        text = " ".join(_POSITION.sub("", str(error)).split())
        match = _FAILED.search(text)
        if match:
            text = f"operator {match[2]} (number {match[1]}) failed: {_FAILED.sub('', text).strip()}"
        return text[:_DETAIL_MAX]
