"""Recorded inputs of a model: what calibration, comparison and measurement run on.

A recording is `.npz` with an array for each input, by its name; `.npy` for a model with one input; or any other file of
rows as the `inference` operation takes them, one after the other. The first dimension of an array is the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowrt.nn.backend import DTYPES, Array, Slot
from flowrt.nn.faults import ModelFault
from flowrt.nn.layout import Layout, layout_of

_SYNTHETIC_SEED = 1


def read(path: Path, inputs: Sequence[Slot]) -> list[Array]:
    """One array an input, all with the same number of rows. Raises `ModelFault` with what is missing."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                arrays = [_named(file, slot, path) for slot in inputs]
        elif path.suffix == ".npy":
            arrays = [np.load(path, allow_pickle=False)]
        else:
            return _rows(path.read_bytes(), layout_of(path.name, inputs, ()), path)
    except (OSError, ValueError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        raise ModelFault("invalid-argument", f"recording {path}: {why}") from None
    if len(arrays) != len(inputs):
        raise ModelFault(
            "invalid-argument", f"recording {path} has one array, and the model {len(inputs)} inputs: use .npz"
        )
    return [_fitting(array, slot, path) for array, slot in zip(arrays, inputs, strict=True)]


def made_up(inputs: Sequence[Slot], rows: int, extent: int = 16) -> list[Array]:
    """Noise, for measuring without a recording: speed hardly depends on the values."""
    random = np.random.default_rng(_SYNTHETIC_SEED)
    batched = layout_of("", inputs, ()).has_batch
    arrays = []
    for slot in inputs:
        dims = [extent if isinstance(dim, str) else dim for dim in slot.dims]
        shape = (rows, *(dims[1:] if batched else dims))
        if slot.type == "string":
            arrays.append(np.full(shape, b"text", object))
        else:
            arrays.append((random.random(shape) * 2).astype(DTYPES[slot.type]))
    return arrays


def batch(arrays: Sequence[Array], start: int, stop: int, *, batched: bool) -> list[Array]:
    """The rows from start to stop as the model takes them; a model without a batch takes one."""
    return [np.ascontiguousarray(array[start:stop] if batched else array[start]) for array in arrays]


def _named(file: np.lib.npyio.NpzFile, slot: Slot, path: Path) -> Array:
    if slot.name not in file.files:
        raise ModelFault(
            "invalid-argument", f"recording {path} has no array '{slot.name}', but {', '.join(file.files)}"
        )
    found: Array = file[slot.name]
    return found


def _fitting(array: Array, slot: Slot, path: Path) -> Array:
    batched = bool(slot.dims) and isinstance(slot.dims[0], str)
    whole = array if batched else array[:1].reshape(array.shape[1:]) if array.ndim else array
    if array.dtype != np.dtype(DTYPES[slot.type]):
        raise ModelFault("invalid-argument", f"recording {path}: {array.dtype.name} is no {slot}")
    if array.ndim == len(slot.dims) and not batched and slot.takes(array.shape):
        return array[None]  # one row, written without the dimension of rows
    if not slot.takes(whole.shape):
        raise ModelFault("invalid-argument", f"recording {path}: {list(array.shape)} does not fit {slot}")
    return array


def _rows(data: bytes, layout: Layout, path: Path) -> list[Array]:
    size = layout.row_bytes
    if not size or len(data) % size:
        raise ModelFault(
            "invalid-argument", f"recording {path}: {len(data)} bytes are no rows of {layout.expected()}; use .npz"
        )
    count, at, arrays = len(data) // size, 0, []
    matrix = np.frombuffer(data, np.uint8).reshape(count, size)
    for slot in layout.row_inputs:
        tensor = slot.tensor
        part = np.ascontiguousarray(matrix[:, at : at + tensor.bytes])
        arrays.append(part.view(DTYPES[slot.type]).reshape(count, *tensor.shape))
        at += tensor.bytes
    return arrays
