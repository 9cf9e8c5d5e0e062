"""Tensors as users write them: `x: f32[N, 16]`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flowrt.message import Tensor
from flowrt.nn.backend import DTYPES, Slot

_SLOT = re.compile(r"\s*([^\s:\[\]]+)\s*:\s*(\w+)\s*\[([\w?,\s]*)\]\s*")


def parse_slot(text: str) -> Slot:
    """Raises ValueError."""
    match = _SLOT.fullmatch(text)
    if match is None or match[2] not in DTYPES:
        raise ValueError(f"'{text[:80]}' is no tensor; write for example x: f32[N, 16]")
    dims = [dim.strip() for dim in match[3].split(",") if dim.strip()]
    named = (dim if dim != "?" else f"?{match[1]}.{at}" for at, dim in enumerate(dims))
    return Slot(match[1], match[2], tuple(int(dim) if dim.isdecimal() else dim for dim in named))


def parse_slots(texts: Iterable[str]) -> tuple[Slot, ...]:
    """Raises ValueError."""
    return tuple(map(parse_slot, texts))


def slot_of(tensor: Tensor) -> Slot:
    """A slot of what is known of a tensor without the names of its free dimensions."""
    return Slot(
        tensor.name, tensor.type, tuple(f"?{tensor.name}.{i}" if n < 0 else n for i, n in enumerate(tensor.shape))
    )
