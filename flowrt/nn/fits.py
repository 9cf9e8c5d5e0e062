"""Arrays against what a model declares: who is wrong, in words that name the tensor and both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowrt.nn.backend import DTYPES, Array, Slot
from flowrt.nn.faults import ModelFault, wrong_shape


def misfit(label: str, slots: Sequence[Slot], arrays: Sequence[Array | None]) -> ModelFault | None:
    """The first array that is not what its input takes, or None where all fit: then the model itself failed."""
    for slot, array in zip(slots, arrays, strict=True):
        if array is None:
            if not slot.optional:
                return wrong_shape(f"model '{label}': input {slot} was not given")
        elif not slot.takes(array.shape) or not (slot.form == "open" or array.dtype == np.dtype(DTYPES[slot.type])):
            found = f"{array.dtype.name}[{', '.join(map(str, array.shape))}]"
            return wrong_shape(f"model '{label}': input {slot} was given {found}")
    return None


def check(label: str, slots: Sequence[Slot], arrays: Sequence[Array | None]) -> None:
    """Raises `ModelFault` of kind `shape` for arrays that do not fit, before an engine sees them."""
    fault = misfit(label, slots, arrays)
    if fault is not None:
        raise fault


def type_of(array: Array) -> str | None:
    """The tensor type of an array; None for one that no tensor type has. bfloat16 looks like u16."""
    return _TYPES.get(array.dtype.newbyteorder("<").str)


_TYPES = {np.dtype(spelling).newbyteorder("<").str: kind for kind, spelling in DTYPES.items() if kind != "bf16"}
