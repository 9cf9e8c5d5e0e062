"""Warming a model up, and finding out whether its outputs follow the batch.

Declared shapes do not tell: exporters leave dimensions free that are not, and a detector's first output extent is the
number of things it found. So a model is run once with one row of zeros, which also warms it up, and once with three.
"""

from __future__ import annotations

import numpy as np

from flowrt.nn.backend import DTYPES, Array, Session, byte_size
from flowrt.nn.faults import ModelFault
from flowrt.nn.layout import Layout, layout_of
from flowrt.values import replace

_ROWS = 3
"""Not 1, which broadcasts, and not 2, which many a fixed output has."""
_EXTENTS = (1, 16, 128)
"""Tried for dimensions that are free beside the batch: windows and kernels want more than 1."""
_MAX_BYTES = 64 * 2**20
"""Inputs larger than this are not made up: such a model is warm after its first message, and runs row by row."""


def warm_up(session: Session) -> Layout:
    """Run the model on zeros and return what was seen of its layout.

    A model that refuses zeros is no error here: its layout is then as declared, one row at a time."""
    layout = layout_of(session.label, session.inputs, session.outputs)
    for extent in _EXTENTS:
        found = _outputs(session, layout, 1, extent)
        if found is not None:
            break
    else:
        return _row_by_row(layout)
    if not layout.has_batch:
        return layout
    more = _outputs(session, layout, _ROWS, extent)
    if more is None:
        return _row_by_row(layout)
    follows = tuple(
        declared and one.shape[:1] == (1,) and many.shape[:1] == (_ROWS,)
        for declared, one, many in zip(layout.follows, found, more, strict=True)
    )
    return replace(layout, follows=follows)


def _row_by_row(layout: Layout) -> Layout:
    return replace(layout, one_by_one=True)


def _outputs(session: Session, layout: Layout, rows: int, extent: int) -> list[Array] | None:
    shapes = [tuple(extent if isinstance(dim, str) else dim for dim in slot.dims) for slot in layout.inputs]
    if layout.has_batch:
        shapes = [(rows, *shape[1:]) for shape in shapes]
    if sum(byte_size(slot.type, shape) for slot, shape in zip(layout.inputs, shapes, strict=True)) > _MAX_BYTES:
        return None
    arrays = [
        np.full(shape, b"" if slot.type == "string" else 0, DTYPES[slot.type])
        for slot, shape in zip(layout.inputs, shapes, strict=True)
    ]
    try:
        return list(session.run(arrays))
    except ModelFault:
        return None
