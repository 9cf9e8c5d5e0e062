"""A profile of a guest as stacks with weights, as a table and as a drawing. Pure.

Format: the "processed" profile of the Firefox profiler, as Wasmtime writes it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from html import escape

from flowrt.values import Struct, field

Stack = tuple[str, ...]
"""Names of functions, the outermost first."""

NAMELESS = "<wasm function "
"""Begins the engine's word for a function without a name."""
DEPTH_MAX = 200
"""Frames of a stack that are kept, from the outermost."""
_WIDTH, _ROW, _LETTER = 1200, 18, 6.6
_COLOURS = ("#e4572e", "#e8793a", "#ec9b47", "#f0b354", "#f3c969")


def stacks(profile: bytes) -> dict[Stack, int]:
    """How many samples each stack had. Samples outside the guest's code are left out."""
    found: Counter[Stack] = Counter()
    for thread in json.loads(profile)["threads"]:
        names, table, frames = thread["stringArray"], thread["stackTable"], thread["frameTable"]["func"]
        functions = thread["funcTable"]["name"]
        for stack in thread["samples"]["stack"]:
            at, path = stack, []
            while at is not None:
                path.append(names[functions[frames[table["frame"][at]]]])
                at = table["prefix"][at]
            if path:
                found[tuple(path[: -DEPTH_MAX - 1 : -1])] += 1
    return dict(found)


def folded(weights: Mapping[Stack, int]) -> str:
    """One line a stack, as flame graph programs read it: `outer;inner 12`."""
    return "".join(f"{';'.join(stack)} {weight}\n" for stack, weight in sorted(weights.items()))


def own_share(weights: Mapping[Stack, int]) -> list[tuple[str, float]]:
    """Each function and the share of samples it was at the top of the stack in, the largest first."""
    tops: Counter[str] = Counter()
    for stack, weight in weights.items():
        tops[stack[-1]] += weight
    total = tops.total()
    return [(name, weight / total) for name, weight in tops.most_common()]


class _Frame(Struct):
    name: str
    weight: int = 0
    inner: dict[str, _Frame] = field(default_factory=dict)


def svg(weights: Mapping[Stack, int], title: str) -> str:
    """A flame graph: width is the share of samples, what stands on a function was called by it."""
    root = _Frame(title)
    for stack, weight in weights.items():
        frame = root
        frame.weight += weight
        for name in stack:
            frame = frame.inner.setdefault(name, _Frame(name))
            frame.weight += weight
    depth = 1 + max(map(len, weights), default=0)
    boxes: list[str] = []
    _draw(root, 0.0, depth - 1, root.weight or 1, boxes)
    height = depth * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="monospace" '
        f'font-size="11">\n{"".join(boxes)}</svg>\n'
    )


def _draw(frame: _Frame, left: float, row: int, total: int, boxes: list[str]) -> None:
    width = _WIDTH * frame.weight / total
    name, share = escape(frame.name), 100 * frame.weight / total
    room = int(width / _LETTER) - 1
    shown = escape(frame.name if len(frame.name) <= room else frame.name[: max(room - 1, 0)] + "…") if room > 2 else ""
    colour = _COLOURS[sum(frame.name.encode()) % len(_COLOURS)]
    boxes.append(
        f'<g><title>{name}: {share:.1f} %, {frame.weight} samples</title><rect x="{left:.1f}" y="{row * _ROW}" '
        f'width="{width:.1f}" height="{_ROW - 1}" fill="{colour}"/><text x="{left + 3:.1f}" '
        f'y="{row * _ROW + 13}">{shown}</text></g>\n'
    )
    for inner in sorted(frame.inner.values(), key=lambda one: one.name):
        _draw(inner, left, row - 1, total, boxes)
        left += _WIDTH * inner.weight / total
