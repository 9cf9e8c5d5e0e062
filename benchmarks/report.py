"""What a run showed: rows with target and verdict, as a table, as JSON, and in docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- figures of `python -m benchmarks {group}` -->", "<!-- end of figures of {group} -->"

SKELETON = """# Performance

Made by `python -m benchmarks --write`. Systems take turns; a figure is the median over the rounds, a ratio is formed
within its round, and beside it stand the lowest and the highest round.
"""
CHARTS = {"curves": ("topics", "graphs", "chain", "payload")}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: the median of what each round showed, and the lowest and highest round."""

    group: str
    work: str
    measure: str
    unit: str
    values: tuple[float, ...]
    """One a round; a ratio is formed within its round, since absolute figures drift."""
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""
    """Why it was left out."""
    failed: bool = False
    """Whether it was left out because something broke."""

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target; None without a figure or a target."""
        if self.median is None or (self.at_least is None and self.at_most is None):
            return None
        return (self.at_least is None or self.median >= self.at_least) and (
            self.at_most is None or self.median <= self.at_most
        )

    @property
    def cells(self) -> tuple[str, ...]:
        target = ""
        if self.at_least is not None:
            target = f"≥ {self.at_least:g}"
        if self.at_most is not None:
            target = f"≤ {self.at_most:g}"
        verdict = {True: "met", False: "missed", None: ""}[self.met]
        if self.median is None:
            return (self.work, self.measure, "left out", self.note, target, "")
        spread = f"{number(min(self.values))} to {number(max(self.values))}" if len(self.values) > 1 else ""
        return (self.work, self.measure, f"{number(self.median)} {self.unit}".strip(), spread, target, verdict)


HEADINGS = ("work", "measure", "median", "lowest to highest round", "target", "")


def broken(group: str, part: str, why: str) -> Row:
    """In the place of a part's rows when the part could not be measured to its end."""
    return Row(group, part, "all figures", "", (), note=why.partition("\n")[0], failed=True)


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, ...]:
    """Round by round."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


def number(value: float) -> str:
    """Three significant digits, thousands grouped."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def machine() -> dict[str, str]:
    """What the figures were made on."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": _processor(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("mqtt5", "onnxruntime", "paho-mqtt", "wasmtime")},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def table(rows: Sequence[Row]) -> str:
    """For a terminal."""
    cells = [HEADINGS, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def markdown(rows: Sequence[Row]) -> str:
    """For the page."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def save(rows: Sequence[Row]) -> Path:
    """All rounds as JSON; git ignores the folder."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    path.write_text(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    return path


def _skeleton(rows: Sequence[Row]) -> str:
    text = SKELETON
    for group in dict.fromkeys(row.group for row in rows):
        charts = "".join(f"![{name}](performance/{name}.svg)\n" for name in CHARTS.get(group, ()))
        text += f"\n## {group.capitalize()}\n\n{BEGIN.format(group=group)}\n{END.format(group=group)}\n{charts}"
    return text


def write_page(rows: Sequence[Row], page: Path = PAGE) -> list[str]:
    """Put each group's table between its markers; the groups for which the page has none. A page that does not exist is
    begun with markers for every group."""
    text = page.read_text() if page.exists() else _skeleton(rows)
    missing = []
    facts = ", ".join(f"{key} {value}" for key, value in machine().items() if key not in ("date", "processor"))
    for group in dict.fromkeys(row.group for row in rows):
        begin, end = BEGIN.format(group=group), END.format(group=group)
        if begin not in text or end not in text:
            missing.append(group)
            continue
        before, rest = text.split(begin, 1)
        after = rest.split(end, 1)[1]
        body = markdown([row for row in rows if row.group == group])
        when = f"{machine()['date']}, {machine()['processor']}, {facts}."
        text = f"{before}{begin}\n{body}\n\n{when}\n{end}{after}"
    page.write_text(text)
    return missing
