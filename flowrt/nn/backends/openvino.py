"""OpenVINO's IR and ONNX models on OpenVINO: the only file that imports it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from flowrt.nn import encodings, onnx_file, openvino_file
from flowrt.nn.backend import DTYPES, Array, AtOnce, Prepared, Session, Shape, Slot, Source
from flowrt.nn.faults import Code, ModelFault
from flowrt.nn.fits import misfit

_DEVICES = {"cpu": "CPU", "gpu": "GPU", "npu": "NPU"}
_ERRORS = (RuntimeError, ValueError, TypeError, MemoryError)
"""All that the engine raises."""
_NOISE = re.compile(r"Exception from \S+:\d+:?|Check '[^\n]*' failed at \S+:\d+:|FrontEnd API failed with \w+:")
"""Where in its source the engine stood; nobody here can use that."""
_DETAIL_MAX = 400


class OpenVinoBackend:
    """Loads models into OpenVINO."""

    engine = f"OpenVINO {ov.__version__.partition('-')[0]}"

    def __init__(self) -> None:
        self._core = ov.Core()

    def targets(self) -> Mapping[str, str]:
        present = {device.partition(".")[0]: device for device in self._core.available_devices}
        return {target: present[device] for target, device in _DEVICES.items() if device in present}

    def load(self, source: Source, target: str, threads: int) -> Session:
        devices = self.targets()
        if target not in devices:
            raise ModelFault(
                "unsupported-operation",
                f"model '{source.label}' asks for target {target}; this OpenVINO has {', '.join(devices.values())}",
            )
        declared, size = _declared(source)
        try:
            model = self._core.read_model(*self._parts(source))
            compiled = self._core.compile_model(model, devices[target], _options(target, threads))
            return OpenVinoSession(source.label, compiled, devices[target], declared, size)
        except _ERRORS as error:
            code: Code = "too-large" if isinstance(error, MemoryError) else "runtime-error"
            raise ModelFault(code, f"model '{source.label}' does not load: {_words(error)}") from error

    def _parts(self, source: Source) -> list[Any]:
        head = source.parts[0]
        if encodings.sniff(head) == "onnx" and source.path is not None and onnx_file.names_files(head):
            return [str(source.path)]  # the engine must find the files beside it
        return list(source.parts)


class OpenVinoSession(AtOnce):
    """One model in OpenVINO. Each thread that runs it at the same time takes a request of its own."""

    def __init__(self, label: str, compiled: Any, device: str, declared: tuple[Slot, ...] | None, size: int) -> None:
        self.label = label
        self.device = device
        self.inputs = declared or tuple(_slot(label, "input", port, at) for at, port in enumerate(compiled.inputs))
        self.outputs = tuple(_slot(label, "output", port, at) for at, port in enumerate(compiled.outputs))
        self._compiled: Any = compiled
        self._idle: deque[Any] = deque()
        self._size = size

    def run(self, arrays: Sequence[Array | None]) -> Sequence[Array]:
        request = self._request()
        try:
            for at, (slot, array) in enumerate(zip(self.inputs, arrays, strict=True)):
                request.set_input_tensor(at, _tensor(slot, np.asarray(array, order="C")))
            request.infer(share_outputs=True)
            found = [_array(slot, request.get_output_tensor(at)) for at, slot in enumerate(self.outputs)]
        except _ERRORS as error:
            raise self._fault(arrays, error) from error
        self._idle.append(request)
        return found

    def prepare(self, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Prepared | None:
        if self.device != "CPU" or any(slot.type == "string" for slot in (*self.inputs, *self.outputs)):
            return None
        return OpenVinoPrepared(self, self._request(), inputs, outputs)

    def memory_bytes(self) -> int:
        """The weights: OpenVINO does not tell what its graph holds."""
        return self._size if self._compiled is not None else 0

    def close(self) -> None:
        self._compiled = None
        self._idle.clear()

    def _request(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            pass
        compiled = self._compiled
        if compiled is None:
            raise ModelFault("runtime-error", f"model '{self.label}' was released")
        return compiled.create_infer_request()

    def _fault(self, arrays: Sequence[Array | None], error: BaseException) -> ModelFault:
        wrong = misfit(self.label, self.inputs, arrays)
        return wrong or ModelFault("runtime-error", f"model '{self.label}': {_words(error)}")


class OpenVinoPrepared:
    """Arrays bound to one request."""

    def __init__(self, owner: OpenVinoSession, request: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> None:
        self.inputs: Sequence[Array] = _zeros(owner.inputs, inputs)
        self.outputs: Sequence[Array] = _zeros(owner.outputs, outputs)
        self._owner = owner
        self._request = request
        try:
            for at, (slot, array) in enumerate(zip(owner.inputs, self.inputs, strict=True)):
                request.set_input_tensor(at, _tensor(slot, array))
            for at, (slot, array) in enumerate(zip(owner.outputs, self.outputs, strict=True)):
                request.set_output_tensor(at, _tensor(slot, array))
        except _ERRORS as error:
            raise owner._fault(self.inputs, error) from error

    def run(self) -> None:
        try:
            self._request.infer(share_outputs=True)
        except _ERRORS as error:
            raise self._owner._fault(self.inputs, error) from error


def save_ir(source: Path, target: Path) -> None:
    """Write a model of another format as IR, its weights unchanged. Raises `ModelFault`."""
    try:
        ov.save_model(ov.Core().read_model(str(source)), str(target), compress_to_fp16=False)
    except _ERRORS as error:
        raise ModelFault("runtime-error", f"{source} does not convert: {_words(error)}") from error


def _declared(source: Source) -> tuple[tuple[Slot, ...] | None, int]:
    """The inputs of an ONNX file, whose free dimensions have names; nothing for IR. And the bytes of the weights."""
    head = source.parts[0]
    if encodings.sniff(head) == "onnx":
        file = onnx_file.read(head, source.label)
        outside = onnx_file.check_external(source.label, file.external, source.folder)
        return file.inputs, max(outside, file.parameter_bytes, len(head))
    if len(source.parts) != 2:
        raise ModelFault(
            "invalid-argument",
            f"model '{source.label}': OpenVINO's IR is two parts, the network and its weights, not {len(source.parts)}",
        )
    openvino_file.read(head, source.parts[1], source.label)
    return None, sum(map(len, source.parts))


def _options(target: str, threads: int) -> dict[str, Any]:
    if target != "cpu":
        return {"PERFORMANCE_HINT": "LATENCY"}
    # Without the hint, processors that have bfloat16 compute f32 models in it, and results differ by the machine.
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": "1",
        "PERFORMANCE_HINT": "LATENCY",
    }


def _slot(label: str, role: str, port: Any, at: int) -> Slot:
    name = port.any_name if port.names else f"{role}{at}"
    kind = port.element_type.get_type_name()
    if kind not in openvino_file.TYPES:
        raise ModelFault(
            "unsupported-operation", f"model '{label}': {role} '{name}' is {kind}, which no tensor here is"
        )
    shape = port.partial_shape
    if shape.rank.is_dynamic:
        raise ModelFault("unsupported-operation", f"model '{label}': {role} '{name}' leaves its rank open")
    dims = tuple(f"?{name}.{i}" if dim.is_dynamic else dim.get_length() for i, dim in enumerate(shape))
    return Slot(name, openvino_file.TYPES[kind], dims)


def _tensor(slot: Slot, array: Array) -> Any:
    if slot.type == "bf16" and array.dtype == np.uint16:
        return ov.Tensor(array, array.shape, ov.Type.bf16)
    return ov.Tensor(array, shared_memory=slot.type != "string")


def _array(slot: Slot, tensor: Any) -> Array:
    if slot.type == "string":
        found: Array = tensor.bytes_data.astype(object)
        return found
    data = tensor.data
    copied: Array = data.view(np.uint16).copy() if slot.type == "bf16" else data.copy()
    return copied


def _zeros(slots: Sequence[Slot], shapes: Sequence[Shape]) -> list[Array]:
    return [np.zeros(shape, DTYPES[slot.type]) for slot, shape in zip(slots, shapes, strict=True)]


def _words(error: BaseException) -> str:
    """What the engine said, on one line, without its source positions."""
    return " ".join(_NOISE.sub("", str(error)).split())[:_DETAIL_MAX] or type(error).__name__
