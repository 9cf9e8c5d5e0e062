"""TorchScript models on PyTorch: the only file that imports it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from flowrt.nn import torch_file
from flowrt.nn.backend import DTYPES, Array, AtOnce, Session, Slot, Source
from flowrt.nn.faults import Code, ModelFault
from flowrt.nn.fits import check, type_of

_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, MemoryError)
_CALL = re.compile(r"^\s*(.+?)\n\s*~+ *<--- HERE", re.MULTILINE)
_PLACE = re.compile(r'File "(code/[^"]+)", line (\d+), in (\w+)')
_DETAIL_MAX = 400
_EXTENTS = ((2, 3), (16, 17), (128, 129))
"""Pairs of sizes tried for free dimensions, to see which of the outputs' follow."""
_MAX_TRIAL = 64 * 2**20


class TorchBackend:
    """Loads models into PyTorch."""

    engine = f"PyTorch {torch.__version__}"

    def targets(self) -> Mapping[str, str]:
        found = {"cpu": "cpu"}
        if torch.cuda.is_available():
            found["gpu"] = "cuda"
        elif torch.backends.mps.is_available():
            found["gpu"] = "mps"
        return found

    def load(self, source: Source, target: str, threads: int) -> Session:
        if len(source.parts) != 1:
            raise ModelFault("invalid-argument", f"'{source.label}': TorchScript is one file, not {len(source.parts)}")
        devices = self.targets()
        if target not in devices:
            raise ModelFault(
                "unsupported-operation",
                f"model '{source.label}' asks for target {target}; this PyTorch has {', '.join(devices.values())}",
            )
        described = torch_file.read(source.parts[0], source.label)
        torch.set_num_threads(threads)  # one setting for the process: the last model's counts
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript gets no new features, and still runs
                module = torch.jit.load(io.BytesIO(source.parts[0]), map_location=devices[target]).eval()
        except _ERRORS as error:
            code: Code = "too-large" if isinstance(error, MemoryError) else "runtime-error"
            raise ModelFault(code, f"model '{source.label}' does not load: {_words(error)}") from error
        inputs = source.inputs or described.inputs
        outputs = source.outputs or described.outputs
        return TorchSession(source.label, module, devices[target], inputs, outputs, described.parameter_bytes)


class TorchSession(AtOnce):
    """One model in PyTorch. Threads run it side by side."""

    def __init__(
        self, label: str, module: Any, device: str, inputs: tuple[Slot, ...], outputs: tuple[Slot, ...], size: int
    ) -> None:
        self.label, self.device = label, device
        self._module: Any = module
        self._size = size
        names = [argument.name for argument in module.forward.schema.arguments[1:]]
        if inputs and len(inputs) != len(names):
            raise ModelFault(
                "invalid-argument",
                f"model '{label}' takes {', '.join(names) or 'nothing'}; {len(inputs)} inputs are declared",
            )
        self.inputs = inputs or tuple(Slot(name, "f32", (), form="open") for name in names)
        self.outputs = outputs or tuple(Slot(name, "f32", (), form="open") for name in _returned(module, label))
        if inputs and not outputs:
            self.outputs = self._seen()

    def run(self, arrays: Sequence[Array | None]) -> Sequence[Array]:
        module = self._module
        if module is None:
            raise ModelFault("runtime-error", f"model '{self.label}' was released")
        check(self.label, self.inputs, arrays)  # what an interpreter is given it runs, whatever was declared
        try:
            with torch.inference_mode():
                tensors = [self._tensor(slot, array) for slot, array in zip(self.inputs, arrays, strict=True)]
                found = [_array(made) for made in _flat(module(*tensors))]
        except _ERRORS as error:
            raise ModelFault("runtime-error", f"model '{self.label}': {_words(error)}") from error
        if len(found) != len(self.outputs):
            raise ModelFault(
                "runtime-error", f"model '{self.label}' returned {len(found)} tensors, not {len(self.outputs)}"
            )
        return found

    def memory_bytes(self) -> int:
        return self._size if self._module is not None else 0

    def close(self) -> None:
        self._module = None

    def _tensor(self, slot: Slot, array: Array | None) -> Any:
        # Arrays of messages are read-only views, which PyTorch takes only with a warning: it never writes to inputs
        # in inference mode unless the model does so itself, and then it must not reach the message.
        held = np.array(array, order="C") if array is not None and not array.flags.writeable else array
        tensor = torch.from_numpy(np.asarray(held, order="C"))
        if slot.type == "bf16" and slot.form != "open":
            tensor = tensor.view(torch.bfloat16)
        return tensor.to(self.device)

    def _seen(self) -> tuple[Slot, ...]:
        """The outputs as two runs on zeros show them: what differs between two sizes of free dimensions is free."""
        for extents in _EXTENTS:
            try:
                one, other = (self._trial(extent) for extent in extents)
            except ModelFault:
                continue
            return tuple(
                Slot(slot.name, type_of(a) or "f32", _dims(slot.name, a, b))
                for slot, a, b in zip(self.outputs, one, other, strict=True)
            )
        return self.outputs

    def _trial(self, extent: int) -> Sequence[Array]:
        shapes = [tuple(extent if isinstance(dim, str) else dim for dim in slot.dims) for slot in self.inputs]
        if sum(int(np.prod(shape)) for shape in shapes) > _MAX_TRIAL:
            raise ModelFault("too-large", "inputs too large to try")
        return self.run([np.zeros(shape, DTYPES[slot.type]) for slot, shape in zip(self.inputs, shapes, strict=True)])


def export_onnx(data: bytes, target: str, inputs: Sequence[Slot], label: str) -> None:
    """Write a TorchScript archive as ONNX. Raises `ModelFault`."""
    torch_file.read(data, label)
    shapes = [tuple(2 if isinstance(dim, str) else dim for dim in slot.dims) for slot in inputs]
    zeros = [np.zeros(shape, DTYPES[slot.type]) for slot, shape in zip(inputs, shapes, strict=True)]
    axes = {slot.name: {at: dim for at, dim in enumerate(slot.dims) if isinstance(dim, str)} for slot in inputs}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter for TorchScript, which is the one that takes it
            module = torch.jit.load(io.BytesIO(data)).eval()
            names = _returned(module, label)
            first = next((dims[0] for dims in axes.values() if 0 in dims), None)
            torch.onnx.export(
                module,
                tuple(map(torch.from_numpy, zeros)),
                target,
                input_names=[slot.name for slot in inputs],
                output_names=names,
                dynamic_axes={**axes, **({name: {0: first} for name in names} if first else {})},
                opset_version=17,
                dynamo=False,
            )
    except (*_ERRORS, torch.onnx.errors.OnnxExporterError, AttributeError) as error:
        raise ModelFault("runtime-error", f"{label} does not convert: {_words(error)}") from error


def _dims(name: str, one: Array, other: Array) -> tuple[int | str, ...]:
    return tuple(a if a == b else f"?{name}.{i}" for i, (a, b) in enumerate(zip(one.shape, other.shape, strict=False)))


def _returned(module: Any, label: str) -> list[str]:
    """Names for what `forward` returns, which must be tensors and known in number."""
    kind = module.forward.schema.returns[0].type
    if kind.kind() == "TensorType":
        return ["output"]
    if kind.kind() == "TupleType" and all(part.kind() == "TensorType" for part in kind.elements()):
        return [f"output{at}" for at in range(len(kind.elements()))]
    raise ModelFault(
        "unsupported-operation",
        f"model '{label}' returns {kind}; let its forward return a tensor or a tuple of tensors",
    )


def _flat(made: Any) -> list[Any]:
    return [made] if isinstance(made, torch.Tensor) else list(made)


def _array(tensor: Any) -> Array:
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.contiguous().view(torch.uint16)
    found: Array = tensor.cpu().contiguous().numpy()
    return found


def _words(error: BaseException) -> str:
    """What the engine said, on one line: the call in the model's source that failed, and why."""
    text = str(error)
    place, calls = _PLACE.findall(text), _CALL.findall(text.partition("original code")[0])
    last = [line.strip() for line in text.splitlines() if line.strip()][-1:] or [type(error).__name__]
    why = last[0].removeprefix("RuntimeError: ")
    if place and calls:
        file, line, function = (
            place[-1] if "original code" not in text else _PLACE.findall(text.partition("original code")[0])[-1]
        )
        return f"'{calls[-1].strip()}' in {function} ({file}:{line}) failed: {why}"[:_DETAIL_MAX]
    return " ".join(text.split())[:_DETAIL_MAX]
