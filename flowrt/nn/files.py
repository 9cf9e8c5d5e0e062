"""A model's files: which they are, what they hold, their digest."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from flowrt.nn import encodings, gguf_file
from flowrt.nn.faults import ModelFault
from flowrt.values import Struct

MAX_BYTES = 2**31
"""A protobuf message cannot be longer; larger models keep their weights in files of their own."""
_CHUNK = 2**20


class ModelFiles(Struct, frozen=True):
    """A model as it lies on disk."""

    path: Path
    encoding: str
    parts: tuple[bytes, ...]
    """The contents; of GGUF, which engines map into memory from the file, the head alone."""
    digest: str
    """`sha256:` and 64 hexadecimal digits: over all parts, one after the other."""
    length: int
    """Bytes of all files."""


def read(path: Path, declared: str | None = None) -> ModelFiles:
    """`declared` is an encoding as WIT spells it. Raises `ModelFault`: `model-not-found` where a file is not there,
    `too-large`, `runtime-error` for what cannot be read, `invalid-encoding` for what is no model or another one."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelFault("runtime-error", f"{path} is not a file")
        with path.open("rb") as file:
            head = file.read(64)
            if encodings.detect(head, declared, path.suffix) == "ggml" and head[:4] == b"GGUF":
                return _gguf(path, declared, status.st_size)
        if status.st_size > MAX_BYTES:
            raise ModelFault("too-large", f"{path} is larger than 2Gi; keep its weights in external data")
        data = path.read_bytes()
        encoding = _encoding(path, data, declared)
        parts = (data, _weights(path)) if encoding == "openvino" and encodings.sniff(data) != "onnx" else (data,)
    except FileNotFoundError:
        raise ModelFault("model-not-found", f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise ModelFault(
            "runtime-error", f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return ModelFiles(path, encoding, parts, "sha256:" + digest.hexdigest(), sum(map(len, parts)))


def _encoding(path: Path, data: bytes, declared: str | None) -> str:
    found = encodings.detect(data, declared, path.suffix)
    if found is None:
        raise ModelFault("invalid-encoding", f"{path} is no model in a format flowrt knows; name its encoding")
    if declared not in {None, "autodetect", found}:
        raise ModelFault("invalid-encoding", f"{path} is declared as {declared}, but its bytes are {found}")
    return found


def _weights(path: Path) -> bytes:
    beside = path.with_suffix(".bin")
    if not beside.is_file():
        raise ModelFault("model-not-found", f"{path} needs its weights in {beside.name} beside it, which is not there")
    if beside.stat().st_size > MAX_BYTES:
        raise ModelFault("too-large", f"{beside} is larger than 2Gi")
    return beside.read_bytes()


def _gguf(path: Path, declared: str | None, length: int) -> ModelFiles:
    digest, head = hashlib.sha256(), bytearray()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            if len(head) < gguf_file.HEAD_BYTES:
                head += chunk
    encoding = _encoding(path, bytes(head[:64]), declared)
    return ModelFiles(path, encoding, (bytes(head),), "sha256:" + digest.hexdigest(), length)
