"""ONNX models on ONNX Runtime: the only file that imports it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ctypes import string_at
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as engine

from flowrt.nn import onnx_file
from flowrt.nn.backend import DTYPES, Array, Prepared, Session, Shape, Slot, Source, Stream, element_count
from flowrt.nn.faults import Code, ModelFault
from flowrt.nn.fits import misfit

_FATAL = 4
"""What goes wrong comes as an exception; nothing writes to our stderr."""
ort.set_default_logger_severity(_FATAL)
ort.disable_telemetry_events()

_NAMES = (
    "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "ModelLoaded", "NoModel",
    "NoSuchFile", "NotImplemented", "RuntimeException",
)  # fmt: skip
_ERRORS = (*(getattr(engine, name) for name in _NAMES), RuntimeError, ValueError, TypeError, MemoryError)
"""All that the engine raises; its own classes have no base in common but Exception."""
_CPU = "CPUExecutionProvider"
_PROVIDERS = {
    "cpu": (_CPU,),
    "gpu": ("CUDAExecutionProvider", "TensorrtExecutionProvider", "MIGraphXExecutionProvider", "DmlExecutionProvider"),
    "npu": ("CoreMLExecutionProvider", "QNNExecutionProvider", "VitisAIExecutionProvider"),
}
"""What a target may be, the usual one first; the option `provider` names another one of the target's."""
_TYPES = {f"tensor({name})": kind for name, kind in onnx_file.NAMES.items()}
_BFLOAT16 = next(number for number, kind in onnx_file.TYPES.items() if kind == "bf16")
_OPERATOR = re.compile(r"while running (\S+) node\. Name:'([^']*)' Status Message: (.*)", re.DOTALL)
_POSITION = re.compile(r"/\S+:\d+ [^(]*\([^)]*\) |\[ONNXRuntimeError\] : \d+ : \w+ : ")
"""Where in its source the engine stood; nobody here can use that."""
_DETAIL_MAX = 400


class OnnxBackend:
    """Loads models into ONNX Runtime."""

    engine = f"ONNX Runtime {ort.__version__}"

    def targets(self) -> Mapping[str, str]:
        present = ort.get_available_providers()
        found = {target: [name for name in names if name in present] for target, names in _PROVIDERS.items()}
        return {target: " or ".join(names) for target, names in found.items() if names}

    def load(self, source: Source, target: str, threads: int) -> Session:
        if len(source.parts) != 1:
            raise ModelFault("invalid-argument", f"'{source.label}': ONNX takes one file, not {len(source.parts)}")
        file = onnx_file.read(source.parts[0], source.label)
        outside = onnx_file.check_external(source.label, file.external, source.folder)
        # From the path only where the engine must find the files beside it: bytes are what was checked and digested.
        model = str(source.path) if file.external and source.path is not None else source.parts[0]
        try:
            provider = _provider(target, source)
            session = ort.InferenceSession(
                model, _options(threads, source.libraries), providers=[provider], enable_fallback=0
            )
            _check_device(session, provider, source.label)
            session._model_bytes = None  # kept for falling back to other providers; it would double our memory
            return OnnxSession(source.label, session, max(outside, file.parameter_bytes, len(source.parts[0])))
        except _ERRORS as error:
            raise ModelFault(_load_code(error), f"model '{source.label}' does not load: {_words(error)}") from error


class OnnxSession:
    """One model in ONNX Runtime."""

    trial = True

    def __init__(self, label: str, session: ort.InferenceSession, size: int) -> None:
        self.label = label
        self.inputs = tuple(_slot(label, "input", arg) for arg in session.get_inputs())
        self.outputs = tuple(_slot(label, "output", arg) for arg in session.get_outputs())
        self.device = session.get_providers()[0]
        self._session: ort.InferenceSession | None = session
        self._size = size
        self._input_names = tuple(slot.name for slot in self.inputs)
        self._output_names = [slot.name for slot in self.outputs]
        self._special = any(slot.type in {"string", "bf16"} for slot in (*self.inputs, *self.outputs))

    def run(self, arrays: Sequence[Array | None]) -> Sequence[Array]:
        session = self._open()
        try:
            if self._special:
                return self._run_special(session, arrays)
            found = session.run(self._output_names, dict(zip(self._input_names, arrays, strict=True)))
        except _ERRORS as error:
            raise _run_fault(self.label, self.inputs, arrays, error) from error
        return found  # type: ignore[no-any-return]

    def _run_special(self, session: ort.InferenceSession, arrays: Sequence[Array | None]) -> list[Array]:
        """With strings, which are text here, or bfloat16, which numpy does not have."""
        given = {slot.name: _value(slot, array) for slot, array in zip(self.inputs, arrays, strict=True)}
        found = session.run_with_ort_values(self._output_names, given)
        return [_array(slot, value) for slot, value in zip(self.outputs, found, strict=True)]

    def prepare(self, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Prepared | None:
        if self.device != _CPU or self._special:
            return None
        return OnnxPrepared(self, self._open(), inputs, outputs)

    def stream(self, arrays: Sequence[Array | None]) -> Stream | None:  # noqa: ARG002
        return None

    def memory_bytes(self) -> int:
        """The weights or the file, whichever is larger: ONNX Runtime does not tell what its arena holds."""
        return self._size if self._session is not None else 0

    def close(self) -> None:
        self._session = None

    def _open(self) -> ort.InferenceSession:
        if self._session is None:
            raise ModelFault("runtime-error", f"model '{self.label}' was released")
        return self._session


class OnnxPrepared:
    """Arrays bound to one session: a run costs a third less than through names and new arrays."""

    def __init__(
        self, owner: OnnxSession, session: ort.InferenceSession, inputs: Sequence[Shape], outputs: Sequence[Shape]
    ) -> None:
        self.inputs: Sequence[Array] = [
            np.zeros(shape, DTYPES[slot.type]) for slot, shape in zip(owner.inputs, inputs, strict=True)
        ]
        self.outputs: Sequence[Array] = [
            np.zeros(shape, DTYPES[slot.type]) for slot, shape in zip(owner.outputs, outputs, strict=True)
        ]
        self._owner = owner
        binding = session.io_binding()
        # Below the engine's Python layer, which costs 1 µs a run.
        self._run, self._binding = session._sess.run_with_iobinding, binding._iobinding
        try:
            for slot, array in zip(owner.inputs, self.inputs, strict=True):
                binding.bind_input(slot.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
            for slot, array in zip(owner.outputs, self.outputs, strict=True):
                binding.bind_output(slot.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        except _ERRORS as error:
            raise _run_fault(owner.label, owner.inputs, self.inputs, error) from error

    def run(self) -> None:
        try:
            self._run(self._binding, None)
        except _ERRORS as error:
            raise _run_fault(self._owner.label, self._owner.inputs, self.inputs, error) from error


def providers() -> list[str]:
    """The engine's names of what it can run on here; for `flowrt doctor`."""
    return list(ort.get_available_providers())


def _options(threads: int, libraries: Sequence[Path]) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    if threads > 1:
        # A pool that spins between runs burns the cores a gateway needs for everything else.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for library in libraries:
        options.register_custom_ops_library(str(library.resolve()))
    return options


def _provider(target: str, source: Source) -> str:
    present = ort.get_available_providers()
    wanted = source.options.get("provider")
    for provider in _PROVIDERS.get(target, ()):
        if provider in present and wanted in {None, provider}:
            return provider
    asked = f"target {target}" + (f" by {wanted}" if wanted else "")
    raise ModelFault(
        "unsupported-operation",
        f"model '{source.label}' asks for {asked}; this ONNX Runtime has {', '.join(present)}",
    )


def _check_device(session: ort.InferenceSession, provider: str, label: str) -> None:
    """A build with CUDA on a machine without falls back silently inside; here it does not."""
    if provider not in session.get_providers():
        raise ModelFault("unsupported-operation", f"model '{label}': {provider} does not start on this machine")


def _slot(label: str, role: str, arg: Any) -> Slot:
    if arg.type not in _TYPES:
        raise ModelFault(
            "unsupported-operation",
            f"model '{label}': {role} '{arg.name}' is {arg.type}; flowrt carries numbers and strings",
        )
    dims = (
        dim if isinstance(dim, int) and dim >= 0 else dim if isinstance(dim, str) and dim else f"?{arg.name}.{at}"
        for at, dim in enumerate(arg.shape)
    )
    return Slot(arg.name, _TYPES[arg.type], tuple(dims))


def _value(slot: Slot, array: Array | None) -> ort.OrtValue:
    held = np.asarray(array, order="C")
    if slot.type == "bf16" and held.dtype == np.uint16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(held, _BFLOAT16)
    if slot.type == "string" and held.dtype == object:
        held = np.array([bytes(each).decode() for each in held.ravel()], object).reshape(held.shape)
    return ort.OrtValue.ortvalue_from_numpy(held)


def _array(slot: Slot, value: ort.OrtValue) -> Array:
    if slot.type == "bf16":
        size = 2 * element_count(value.shape())
        return np.frombuffer(string_at(value.data_ptr(), size), "<u2").reshape(value.shape())
    found: Array = value.numpy()
    if slot.type == "string":
        return np.array([str(each).encode() for each in found.ravel()], object).reshape(found.shape)
    return found


def _run_fault(label: str, slots: Sequence[Slot], arrays: Sequence[Array | None], error: BaseException) -> ModelFault:
    return misfit(label, slots, arrays) or ModelFault("runtime-error", f"model '{label}': {_words(error)}")


def _load_code(error: BaseException) -> Code:
    if isinstance(error, engine.InvalidProtobuf):
        return "invalid-encoding"
    return "too-large" if isinstance(error, MemoryError) else "runtime-error"


def _words(error: BaseException) -> str:
    """What the engine said, on one line: which operator failed and why, without its source positions."""
    text = str(error)
    match = _OPERATOR.search(text)
    prefix = ""
    if match:
        prefix, text = f"operator {match[1]} '{match[2]}' failed: ", match[3]
    text = _POSITION.sub("", text)
    text = text.rpartition(" was false. ")[2] or text
    return (prefix + " ".join(text.split()))[:_DETAIL_MAX]
