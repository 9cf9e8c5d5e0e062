"""What a model file says of itself, for `flowrt check`: read from its bytes, without an engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from flowrt.graph.facts import ModelFacts, Unreadable
from flowrt.message import Tensor
from flowrt.nn import encodings, files
from flowrt.nn.backend import Slot
from flowrt.nn.described import Described
from flowrt.nn.faults import ModelFault


def inspect_model(path: str | Path, encoding: str | None = None) -> ModelFacts | Unreadable:
    """Facts of the model at `path`, or why there are none. `encoding` as users spell it; None: the file tells.

    The text of an address is a server's model: its server is not asked, so nothing is known but the address."""
    if isinstance(path, str) and encodings.is_remote(path):
        return ModelFacts(path, "", encodings.REMOTE, (), (), 0, encodings.missing(encodings.REMOTE) or "")
    try:
        declared = None if encoding is None else encodings.spell(encoding)
        found = files.read(Path(path), declared)
        described = describe(found)
    except ValueError as error:
        return Unreadable(str(error))
    except ModelFault as fault:
        return Unreadable(fault.detail, missing=fault.code == "model-not-found" and not Path(path).exists())
    return ModelFacts(
        path=str(found.path),
        digest=found.digest,
        encoding=found.encoding,
        inputs=_tensors(described.inputs),
        outputs=_tensors(described.outputs),
        parameter_bytes=described.parameter_bytes,
        no_engine=encodings.missing(found.encoding) or "",
        signatures={
            name: (_tensors(signature.inputs), _tensors(signature.outputs))
            for name, signature in described.signatures.items()
        },
    )


def describe(found: files.ModelFiles) -> Described:
    """What the files say, by their format, of which only the reader is loaded. Raises `ModelFault`."""
    label, head = found.path.name, found.parts[0]
    if found.encoding == "tensorflow":
        raise ModelFault("invalid-encoding", encodings.missing("tensorflow") or "")
    if found.encoding == "onnx" or encodings.sniff(head) == "onnx":
        from flowrt.nn import onnx_file

        model = onnx_file.read(head, label)
        outside = onnx_file.check_external(label, model.external, found.path.parent)
        size = max(model.parameter_bytes, outside)
        return Described(model.inputs, model.outputs, version="", weights=Counter({"": size}))
    if found.encoding == "tensorflowlite":
        from flowrt.nn import tflite_file

        return tflite_file.read(head, label)
    if found.encoding == "openvino":
        from flowrt.nn import openvino_file

        return openvino_file.read(head, found.parts[1], label)
    if found.encoding == "ggml":
        from flowrt.nn import gguf_file

        return gguf_file.read(head, label, found.length)
    from flowrt.nn import torch_file

    return torch_file.read(head, label)


def _tensors(slots: Sequence[Slot]) -> tuple[Tensor, ...]:
    return tuple(slot.tensor for slot in slots)
