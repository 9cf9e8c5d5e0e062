"""A line chart as SVG, both axes logarithmic: all that the curves need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 40, 50
COLOURS = ("#0b5fa5", "#c2410c", "#15803d", "#7e22ce")
STYLE = "text{font:12px sans-serif;fill:#333}.grid{stroke:#ddd}.axis{stroke:#333}"


@dataclass(frozen=True, slots=True)
class Line:
    """One curve; all numbers above 0."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def svg(title: str, x_label: str, y_label: str, lines: Sequence[Line]) -> str:
    """The chart. Every x is a tick; y has one at each 1, 2 and 5 of a decade."""
    xs = sorted({value for line in lines for value in line.x})
    ys = [value for line in lines for value in line.y]
    across = _Axis(xs[0], xs[-1], LEFT, WIDTH - RIGHT)
    ticks = _ticks(min(ys), max(ys))
    up = _Axis(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<style>{STYLE}</style><title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-weight="bold">{escape(title)}</text>',
    ]
    for value in ticks:
        y = up.at(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>')
    for value in xs:
        x = across.at(value)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_short(value)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(
        f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>'
    )
    for line, colour in zip(lines, COLOURS, strict=False):
        parts += _curve(line, colour, across, up)
    return "\n".join([*parts, "</svg>"]) + "\n"


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        span = math.log(self.high / self.low) or 1.0
        return self.begin + (self.end - self.begin) * math.log(value / self.low) / span


def _curve(line: Line, colour: str, across: _Axis, up: _Axis) -> list[str]:
    points = [(across.at(x), up.at(y)) for x, y in zip(line.x, line.y, strict=True)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    x, y = points[-1]
    name = f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" style="fill:{colour}">{escape(line.name)}</text>'
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots, name]


def _ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 of each decade that the values reach, one beyond on both sides."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    steps = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    below = max(step for step in steps if step <= low)
    above = min((step for step in [*steps, steps[-1] * 2] if step >= high), default=steps[-1])
    return [step for step in [*steps, steps[-1] * 2] if below <= step <= max(above, below * 2)]


def _short(value: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
