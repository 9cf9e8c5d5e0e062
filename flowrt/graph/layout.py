"""Where boxes and arrows of a drawing go: layers from left to right, each sorted so that few arrows cross.

The layers are longest paths from the sources. An arrow over several layers gets a narrow lane through each, so that it
passes between boxes and not behind them. Orders are improved by the barycentre heuristic, forwards and backwards by
turns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from flowrt.values import Struct

BOX_WIDTH, BOX_HEIGHT = 228, 66
GAP_X, GAP_Y = 76, 26
LANE = 14
"""Height of the lane of an arrow that passes through a layer."""
_SWEEPS = 12

Point = tuple[float, float]
_Lane = tuple[int, int]
"""An arrow's number and the layer it passes through."""
_Item = str | _Lane


class Layout(Struct, frozen=True):
    """Positions in pixels, from the top left."""

    places: dict[str, Point]
    """Top left corner of each box."""
    routes: list[tuple[Point, ...]]
    """For each arrow the points it passes through, from the right side of its first box to the left of its last."""
    width: float
    height: float


def arrange(names: list[str], arrows: list[tuple[str, str]]) -> Layout:
    """Lay out an acyclic graph; arrows on a cycle are drawn backwards."""
    layer = _layers(names, arrows)
    chains = [_chain(index, start, end, layer) for index, (start, end) in enumerate(arrows)]
    rows: list[list[_Item]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in names:
        rows[layer[name]].append(name)
    for chain in chains:
        for item in chain[1:-1]:
            if not isinstance(item, str):
                rows[item[1]].append(item)
    neighbours = _neighbours(chains)
    for sweep in range(_SWEEPS):
        _sort(rows, neighbours, backwards=bool(sweep % 2))
    centres = _centres(rows, neighbours)
    return _placed(rows, chains, centres, layer)


def _layers(names: list[str], arrows: list[tuple[str, str]]) -> dict[str, int]:
    layer = dict.fromkeys(names, 0)
    for _ in names:
        moved = False
        for start, end in arrows:
            # On a cycle layers would rise for ever: no path is longer than there are boxes.
            if layer[end] <= layer[start] < len(names) - 1:
                layer[end] = layer[start] + 1
                moved = True
        if not moved:
            break
    used = sorted(set(layer.values()))
    return {name: used.index(value) for name, value in layer.items()}


def _chain(index: int, start: str, end: str, layer: dict[str, int]) -> list[_Item]:
    """The items an arrow passes through, ends included."""
    return [start, *((index, between) for between in range(layer[start] + 1, layer[end])), end]


def _neighbours(chains: list[list[_Item]]) -> dict[bool, dict[_Item, list[_Item]]]:
    """By direction (True: the items to the right), what each item is joined to."""
    found: dict[bool, dict[_Item, list[_Item]]] = {False: defaultdict(list), True: defaultdict(list)}
    for chain in chains:
        for left, right in pairwise(chain):
            found[True][left].append(right)
            found[False][right].append(left)
    return found


def _sort(rows: list[list[_Item]], neighbours: dict[bool, dict[_Item, list[_Item]]], *, backwards: bool) -> None:
    """Order each row by the mean place of what its items are joined to in the row before."""
    joined = neighbours[backwards]
    at = {item: place for row in rows for item, place in _places(row)}

    def wish(item: _Item) -> float:
        others = joined.get(item)
        return sum(at[other] for other in others) / len(others) if others else at[item]

    for row in reversed(rows) if backwards else rows:
        row.sort(key=wish)
        at.update(_places(row))


def _places(row: list[_Item]) -> Iterator[tuple[_Item, float]]:
    """Each item's place in its row, counted from the row's middle."""
    return ((item, index - len(row) / 2) for index, item in enumerate(row))


def _centres(rows: list[list[_Item]], neighbours: dict[bool, dict[_Item, list[_Item]]]) -> dict[_Item, float]:
    """Vertical centres: items are drawn to the mean of their neighbours and pushed apart where they would touch."""
    centre: dict[_Item, float] = {}
    for row in rows:
        top = -sum(_height(item) + GAP_Y for item in row) / 2
        for item in row:
            centre[item] = top + _height(item) / 2
            top += _height(item) + GAP_Y
    for sweep in range(_SWEEPS):
        joined = neighbours[bool(sweep % 2)]
        for row in reversed(rows) if sweep % 2 else rows:
            wishes = [
                sum(centre[other] for other in joined[item]) / len(joined[item]) if joined.get(item) else centre[item]
                for item in row
            ]
            centre.update(zip(row, _apart(row, wishes), strict=True))
    return centre


def _apart(row: list[_Item], wishes: list[float]) -> list[float]:
    """Places in the row's order as near to the wishes as the heights allow: the mean of pushing down and pushing up."""
    down, up = list(wishes), list(wishes)
    for index in range(1, len(row)):
        down[index] = max(down[index], down[index - 1] + _distance(row[index - 1], row[index]))
    for index in reversed(range(len(row) - 1)):
        up[index] = min(up[index], up[index + 1] - _distance(row[index], row[index + 1]))
    return [(one + other) / 2 for one, other in zip(down, up, strict=True)]


def _distance(one: _Item, other: _Item) -> float:
    return (_height(one) + _height(other)) / 2 + GAP_Y


def _height(item: _Item) -> float:
    return BOX_HEIGHT if isinstance(item, str) else LANE


def _placed(
    rows: list[list[_Item]], chains: list[list[_Item]], centres: dict[_Item, float], layer: dict[str, int]
) -> Layout:
    top = min((centres[item] - _height(item) / 2 for row in rows for item in row), default=0.0)
    bottom = max((centres[item] + _height(item) / 2 for row in rows for item in row), default=0.0)
    step = BOX_WIDTH + GAP_X
    places = {name: (layer[name] * step + 0.0, centres[name] - BOX_HEIGHT / 2 - top) for name in layer}
    routes = []
    for chain in chains:
        points: list[Point] = []
        for position, item in enumerate(chain):
            left = (layer[item] if isinstance(item, str) else item[1]) * step
            y = centres[item] - top
            if position > 0:
                points.append((left, y))
            if position < len(chain) - 1:
                points.append((left + BOX_WIDTH, y))
        routes.append(tuple(points))
    return Layout(places, routes, max(len(rows) * step - GAP_X, 0), bottom - top)
