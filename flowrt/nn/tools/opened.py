"""A model file opened by an engine, for the commands that run it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flowrt.nn import encodings, files
from flowrt.nn.backend import Session, Source
from flowrt.nn.faults import ModelFault
from flowrt.nn.layout import Layout
from flowrt.nn.probe import warm_up
from flowrt.nn.tensor_text import parse_slots
from flowrt.values import Struct

_SIGNED = "tensorflowlite"


class Opened(Struct, frozen=True):
    """A session and what was seen of its layout when it was tried."""

    session: Session
    layout: Layout
    encoding: str


def open_model(
    path: Path,
    encoding: str | None = None,
    threads: int = 1,
    inputs: Sequence[str] = (),
    signature: str | None = None,
) -> Opened:
    """Raises `ModelFault` and ValueError. `signature` is one of a TensorFlow Lite file; other formats have none."""
    found = files.read(path, None if encoding is None else encodings.spell(encoding))
    if signature is not None and found.encoding != _SIGNED:
        raise ModelFault("invalid-argument", f"model '{path}' is {found.encoding}, which has no signatures")
    options = {} if signature is None else {"signature": signature}
    source = Source(path.name, found.parts, path.parent, path, options, parse_slots(inputs))
    session = encodings.backend_for(found.encoding).load(source, "cpu", threads)
    if any(slot.form != "tensor" for slot in session.inputs):
        session.close()
        raise ModelFault(
            "invalid-argument", f"model '{path}' does not say its tensors; give --input 'x: f32[N, 16]' for each"
        )
    return Opened(session, warm_up(session), found.encoding)
