"""A graph as a picture: SVG that needs nothing installed, and Mermaid for where text is drawn by others."""

from __future__ import annotations

from html import escape

from flowrt.graph.graph import Graph
from flowrt.graph.layout import BOX_HEIGHT as HEIGHT
from flowrt.graph.layout import BOX_WIDTH as WIDTH
from flowrt.graph.layout import Layout, Point, arrange
from flowrt.graph.plan import Plan
from flowrt.graph.wiring import kind_of
from flowrt.operators.base import Operation
from flowrt.operators.formatted import FormatOperation
from flowrt.operators.inference import InferenceOperation
from flowrt.operators.transform import TransformOperation
from flowrt.quota.quantity import format_bytes
from flowrt.values import Struct

MARGIN, TITLE = 24, 44
_LINES = (26, 36, 38)
"""Characters that fit into each line of a box."""
_COLOURS = {
    "source": ("#e8f5ee", "#2e7d54"),
    "sink": ("#e8f5ee", "#2e7d54"),
    "inference": ("#f1ebfb", "#6a43b5"),
    "branch": ("#fff4e0", "#b26a00"),
    "concatenate": ("#fff4e0", "#b26a00"),
}
_PLAIN = ("#eaf1fb", "#2b5fa8")
_FONT = "system-ui, 'DejaVu Sans', sans-serif"
_SHAPES = {"source": ("([", "])"), "sink": ("([", "])"), "branch": ("{", "}"), "inference": ("[[", "]]")}


class Box(Struct, frozen=True):
    """One operation, in three lines."""

    name: str
    kind: str
    detail: str
    """Module, model, topics or topic."""
    quota: str
    """What of the quota is declared."""


class Drawing(Struct, frozen=True):
    """What there is to draw."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[tuple[str, str, str], ...]
    """From, to, arm."""


def drawing_of(what: Plan | Graph) -> Drawing:
    """A plan, or a graph whose modules need not be there."""
    if isinstance(what, Graph):
        wiring, metadata = what.wiring, what.file.metadata
        boxes = tuple(_box(operation) for operation in wiring.operations.values())
        arrows = tuple((edge.source, edge.target, edge.arm or "") for edge in wiring.edges)
        return Drawing(f"{what.name} {metadata.version if metadata else ''}".strip(), boxes, arrows)
    arms = {2: ("False", "True")}
    arrows = tuple(
        (name, target, arm)
        for name, node in what.nodes.items()
        for arm, targets in zip(arms.get(len(node.targets), ("",)), node.targets, strict=False)
        for target in targets
    )
    return Drawing(f"{what.name} {what.version}", tuple(_box(node.operation) for node in what.nodes.values()), arrows)


def _box(operation: Operation) -> Box:
    model = getattr(operation, "model", None)
    topics = getattr(operation, "topics", ()) or (getattr(operation, "topic", None),)
    kinds = operation.kinds if isinstance(operation, TransformOperation | FormatOperation) else ()
    texts = (getattr(operation, "module", None), getattr(model, "path", model), " and ".join(kinds), *topics)
    detail = next((str(text) for text in texts if text), "")
    return Box(operation.name, kind_of(operation), detail, _quota(operation))


def _quota(operation: Operation) -> str:
    resources = operation.resources
    given = resources.model_fields_set
    parts = []
    if resources.cpu is not None:
        parts.append(f"cpu {resources.cpu * 1000:g}m")
    if "memory" in given:
        parts.append(format_bytes(resources.memory))
    if "deadline" in given:
        parts.append(f"{resources.deadline * 1000:g}ms")
    if isinstance(operation, InferenceOperation) and "batch" in operation.model_fields_set:
        parts.append(f"batch {operation.batch.max}")
    return " · ".join(parts)


def to_mermaid(what: Plan | Graph) -> str:
    """A Mermaid flowchart."""
    drawing = drawing_of(what)
    number = {box.name: f"n{index}" for index, box in enumerate(drawing.boxes)}
    lines = ["---", f"title: {_quoted(drawing.title)}", "---", "flowchart LR"]
    for box in drawing.boxes:
        left, right = _SHAPES.get(box.kind, ("[", "]"))
        text = "<br/>".join(_entity(line) for line in (box.name, f"{box.kind} {box.detail}".strip(), box.quota) if line)
        lines.append(f'  {number[box.name]}{left}"{text}"{right}')
    for start, end, arm in drawing.arrows:
        label = f'|"{_entity(arm)}"|' if arm else ""
        lines.append(f"  {number[start]} -->{label} {number[end]}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _entity(text: str) -> str:
    """Mermaid's own entities, for characters that would end a label or begin a tag."""
    plain = " ".join(text.split())
    return "".join(f"#{ord(char)};" if char in '#"<>&`|\\;' else char for char in plain)


def to_svg(what: Plan | Graph) -> str:
    """An SVG document: operations from left to right in the order messages take."""
    drawing = drawing_of(what)
    layout = arrange([box.name for box in drawing.boxes], [(start, end) for start, end, _ in drawing.arrows])
    width, height = 2 * MARGIN + layout.width, TITLE + MARGIN + layout.height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family="{_FONT}">',
        f"<title>{_text(drawing.title)}</title>",
        '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L10 5L0 10z" fill="#5a6675"/></marker></defs>',
        f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="29" font-size="16" font-weight="600" fill="#1c2733">{_text(drawing.title)}</text>',
        f'<g transform="translate({MARGIN} {TITLE})">',
        *(_arrow(layout, index, arm) for index, (_, _, arm) in enumerate(drawing.arrows)),
        *(_rectangle(layout.places[box.name], box) for box in drawing.boxes),
        "</g></svg>",
    ]
    return "\n".join(parts) + "\n"


def _rectangle(place: Point, box: Box) -> str:
    fill, stroke = _COLOURS.get(box.kind, _PLAIN)
    radius = HEIGHT / 2 if box.kind in {"source", "sink"} else 8
    x, y = place
    middle = x + WIDTH / 2
    lines: list[tuple[str, float, str, str]] = [
        (box.name, 13, "600", "#1c2733"),
        (f"{box.kind}  {_last(box)}".strip(), 11, "400", "#3d4a58"),
    ]
    if box.quota:
        lines.append((box.quota, 10.5, "400", stroke))
    first = y + HEIGHT / 2 + 4.5 - 8.5 * (len(lines) - 1)
    texts = "".join(
        f'<text x="{middle:g}" y="{first + 17 * row:g}" font-size="{size:g}" font-weight="{weight}" fill="{colour}" '
        f'text-anchor="middle">{_text(_short(line, _LINES[row]))}</text>'
        for row, (line, size, weight, colour) in enumerate(lines)
    )
    title = _text(" · ".join(part for part in (box.name, box.kind, box.detail, box.quota) if part))
    return (
        f'<g><title>{title}</title><rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="{radius:g}" '
        f'fill="{fill}" stroke="{stroke}" stroke-width="1.3"/>{texts}</g>'
    )


def _arrow(layout: Layout, index: int, arm: str) -> str:
    points = layout.routes[index]
    (x, y), *rest = points
    path = [f"M{x:g} {y:g}"]
    for next_x, next_y in rest:
        bend = (next_x - x) / 2
        path.append(f"C{x + bend:g} {y:g} {next_x - bend:g} {next_y:g} {next_x:g} {next_y:g}")
        x, y = next_x, next_y
    line = f'<path d="{"".join(path)}" fill="none" stroke="#5a6675" stroke-width="1.4" marker-end="url(#arrow)"/>'
    if not arm:
        return line
    (x, y), (next_x, next_y) = points[0], points[1]
    at_x, at_y = x + (next_x - x) * 0.5, y + (next_y - y) * 0.5
    return (
        f'{line}<rect x="{at_x - 17:g}" y="{at_y - 9:g}" width="34" height="18" rx="5" fill="#ffffff" '
        f'stroke="#c9d1da"/><text x="{at_x:g}" y="{at_y + 4:g}" font-size="11" fill="#b26a00" '
        f'text-anchor="middle">{_text(arm)}</text>'
    )


def _last(box: Box) -> str:
    """A file without its folders: its tooltip names them."""
    return box.detail if box.kind in {"source", "sink"} else box.detail.rpartition("/")[2]


def _short(text: str, most: int) -> str:
    """The text, or its beginning and its end, which tells names of one family apart."""
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-(most // 2) :]}"


def _text(text: str) -> str:
    """Text that XML 1.0 can hold, escaped."""
    return escape("".join(char if char.isprintable() else " " for char in text))
