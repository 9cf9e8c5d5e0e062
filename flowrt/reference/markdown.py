"""Tables and lists in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what would end a cell is escaped."""
    lines = [_row(head), "|" + " --- |" * len(head), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def code(text: object) -> str:
    return f"`{text}`"


def either(texts: Sequence[str]) -> str:
    """`a`, `b` or `c`."""
    return " or ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)


def flowing(text: str | None) -> str:
    """A docstring's paragraph as one line."""
    return " ".join((text or "").split())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(flowing(cell).replace("|", "\\|") for cell in cells) + " |"
