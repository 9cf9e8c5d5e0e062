"""Two models over one recording: where they disagree, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from flowrt.nn.backend import Array, Slot
from flowrt.nn.faults import ModelFault
from flowrt.nn.tools import recording
from flowrt.nn.tools.opened import Opened
from flowrt.values import Struct

_BATCH = 64
_WORST = 5


class Difference(Struct, frozen=True):
    """Of one output over all rows."""

    name: str
    largest: float
    mean: float
    apart: tuple[int, ...]
    """Rows beyond the tolerance, the worst first."""
    winners: int | None
    """Rows whose largest value is another one, where a row is a list of scores; None where it is not."""


def compare(one: Opened, other: Opened, arrays: Sequence[Array], tolerance: float) -> tuple[int, list[Difference]]:
    """Rows, and a difference an output. `tolerance` is a share of the output's range over the recording. Raises
    `ModelFault` where the two take or make other tensors."""
    _same(one.session.inputs, other.session.inputs, "take")
    _same(one.session.outputs, other.session.outputs, "make")
    rows = len(arrays[0])
    if not rows:
        raise ModelFault("invalid-argument", "the recording has no rows")
    mine, theirs = run(one, arrays), run(other, arrays)
    pairs = zip(one.session.outputs, mine, theirs, strict=True)
    return rows, [_difference(slot.name, a, b, tolerance) for slot, a, b in pairs]


def run(model: Opened, arrays: Sequence[Array]) -> list[Array]:
    """All rows through a model: each output flat, a row a line."""
    rows, step = len(arrays[0]), _BATCH if model.layout.batches else 1
    columns: list[list[Array]] = [[] for _ in model.session.outputs]
    for start in range(0, rows, step):
        count = min(step, rows - start)
        given = recording.batch(arrays, start, start + count, batched=model.layout.has_batch)
        for column, array in zip(columns, model.session.run(given), strict=True):
            column.append(array.reshape(count, -1))
    return [np.concatenate(column) for column in columns]


def _same(one: Sequence[Slot], other: Sequence[Slot], what: str) -> None:
    shapes = [[(slot.type, slot.tensor.shape) for slot in slots] for slots in (one, other)]
    if shapes[0] != shapes[1]:
        texts = [", ".join(map(str, slots)) for slots in (one, other)]
        raise ModelFault("invalid-argument", f"the models {what} different tensors: {texts[0]} and {texts[1]}")


def _difference(name: str, mine: Array, theirs: Array, tolerance: float) -> Difference:
    if mine.dtype == object:
        apart = np.flatnonzero((mine != theirs).any(1))
        return Difference(name, float(len(apart) > 0), len(apart) / len(mine), tuple(apart[:_WORST].tolist()), None)
    a, b = mine.astype(np.float64), theirs.astype(np.float64)
    gaps = np.where(np.isnan(a) & np.isnan(b), 0, np.abs(a - b))
    span = float(np.nanmax(a) - np.nanmin(a)) or 1.0
    worst = gaps.max(1) if gaps.shape[1] else np.zeros(len(gaps))
    order = np.argsort(-np.nan_to_num(worst, nan=np.inf))
    beyond = [int(row) for row in order if not worst[row] <= tolerance * span]
    winners = int((a.argmax(1) != b.argmax(1)).sum()) if 1 < a.shape[1] <= 10_000 else None
    return Difference(name, float(np.max(worst)), float(gaps.mean()), tuple(beyond), winners)


def report(rows: int, found: Sequence[Difference]) -> Iterator[str]:
    for each in found:
        text = f"output {each.name}: over {rows} rows the largest difference is {each.largest:.3g}, "
        text += f"the mean {each.mean:.3g}"
        if each.winners is not None:
            text += f"; another value is the largest in {each.winners}"
        yield text
        if each.apart:
            some = ", ".join(map(str, each.apart[:_WORST]))
            yield f"  {len(each.apart)} rows are apart by more than the tolerance, the worst: {some}"
