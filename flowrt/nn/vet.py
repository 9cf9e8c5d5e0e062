"""Trying a model that a guest brought in a process of its own, before this one loads it.

The engines for most formats hold assertions in native code: a model that was made to, or is merely broken, ends the
process that loads or first runs it. Here that is a child, which loads the model and runs it on zeros.
"""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
from collections import OrderedDict

from flowrt.nn import encodings, gguf_file, tflite_file, torch_file
from flowrt.nn.backend import Source
from flowrt.nn.faults import ModelFault

_SECONDS = 60
"""Of processor time, and as much again of waiting, for a child to load and run the model."""
_KNOWN_MAX = 256
_REFUSED = 3
_LENGTH = struct.Struct("<Q")
_known: OrderedDict[tuple[str, str, str], None] = OrderedDict()
"""What was tried already and found good; the oldest is forgotten first."""


def vet(source: Source, digest: str, encoding: str, target: str) -> None:
    """Raises `ModelFault`: the child's own, or of code `security` where the model ended it."""
    if (lack := encodings.missing(encoding)) is not None:
        raise ModelFault("invalid-encoding", lack)
    _look(source, encoding)
    key = (digest, encoding, target)
    if key in _known:
        return
    parts = b"".join(_LENGTH.pack(len(part)) + part for part in source.parts)
    command = [sys.executable, "-m", "flowrt.nn.vet", encoding, target, source.label]
    try:
        done = subprocess.run(command, input=parts, capture_output=True, check=False, timeout=2 * _SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise ModelFault("timeout", f"model '{source.label}' does not load within {2 * _SECONDS} s") from None
    except PermissionError:
        return  # this process may start no other because it is confined itself (`isolation: process`)
    if done.returncode == _REFUSED:
        told = json.loads(done.stdout)
        raise ModelFault(told["code"], told["detail"], told["kind"])
    if done.returncode:
        raise ModelFault(
            "security",
            f"model '{source.label}' ends the process that runs it ({encodings.ENGINES[encoding].distribution}, "
            f"status {done.returncode}); it was tried in one of its own",
        )
    _known[key] = None
    if len(_known) > _KNOWN_MAX:
        _known.popitem(last=False)


def _look(source: Source, encoding: str) -> None:
    """What the bytes alone show to be wrong takes no child."""
    head = source.parts[0]
    if encoding == "pytorch":
        torch_file.read(head, source.label)
    elif encoding == "tensorflowlite":
        tflite_file.read(head, source.label)
    elif encoding == "ggml":
        gguf_file.read(head, source.label)


def main(encoding: str, target: str, label: str) -> int:
    from flowrt.nn.probe import warm_up

    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    data, parts = sys.stdin.buffer.read(), []
    while data:
        size = _LENGTH.unpack_from(data)[0]
        parts.append(data[_LENGTH.size : _LENGTH.size + size])
        data = data[_LENGTH.size + size :]
    try:
        session = encodings.backend_for(encoding).load(Source(label, tuple(parts)), target, 1)
    except ModelFault as fault:
        sys.stdout.write(json.dumps({"code": fault.code, "detail": fault.detail, "kind": fault.kind}))
        return _REFUSED
    if session.trial and all(slot.form == "tensor" for slot in session.inputs):
        warm_up(session)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
