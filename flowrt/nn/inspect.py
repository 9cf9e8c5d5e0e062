"""What a model file says of itself, for `flowrt check`: read from its bytes, without an engine."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from flowrt.graph.facts import ModelFacts, Unreadable
from flowrt.nn import encodings, onnx_file
from flowrt.nn.faults import ModelFault

_MAX_BYTES = 2**31
"""A protobuf message cannot be longer; larger models keep their weights in files of their own."""


def inspect_model(path: str | Path, encoding: str | None = None) -> ModelFacts | Unreadable:
    """Facts of the model at `path`, or why there are none. `encoding` as users spell it; None: the file tells."""
    file = Path(path)
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            return Unreadable(f"{file} is not a file")
        if status.st_size > _MAX_BYTES:
            return Unreadable(f"{file} is larger than 2Gi; keep its weights in external data")
        data = file.read_bytes()
        declared = None if encoding is None else encodings.spell(encoding)
    except FileNotFoundError:
        return Unreadable(f"there is no file {file}", missing=True)
    except OSError as error:
        return Unreadable(f"{file} cannot be read: {error.strerror}")
    except ValueError as error:
        return Unreadable(str(error))
    try:
        return _facts(file, data, declared)
    except ModelFault as fault:
        return Unreadable(fault.detail)


def _facts(file: Path, data: bytes, declared: str | None) -> ModelFacts:
    found = encodings.detect(data, declared, file.suffix)
    if found is None:
        raise ModelFault("invalid-encoding", f"{file} is no model in a format flowrt knows; name its encoding")
    if declared not in {None, "autodetect", found}:
        raise ModelFault("invalid-encoding", f"{file} is declared as {declared}, but its bytes are {found}")
    if found != "onnx":
        encodings.backend_for(found)
    model = onnx_file.read(data, file.name)
    outside = onnx_file.check_external(file.name, model.external, file.parent)
    return ModelFacts(
        path=str(file),
        digest="sha256:" + hashlib.sha256(data).hexdigest(),
        encoding=found,
        inputs=tuple(slot.tensor for slot in model.inputs),
        outputs=tuple(slot.tensor for slot in model.outputs),
        parameter_bytes=max(model.parameter_bytes, outside),
    )
