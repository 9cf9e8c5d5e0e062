"""Where in a file a character of a text stands: in plain words, quotes with escapes, and blocks over several lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flowrt.graph.tree import Mark, Scalar

_ESCAPE = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")


_PROPERTY = re.compile(r"[&!]\S*[ \t]*")
"""An anchor or a tag, which stands before a value."""


def place(text: str, scalar: Scalar, offset: int) -> Mark:
    """The mark of character `offset` (from 0) of a scalar's value, in the file's `text`. Where that cannot be told, as
    for a text with a variable filled in, the scalar's own."""
    if scalar.filled or not isinstance(scalar.value, str):
        return scalar.mark
    return _Walk(text.split("\n"), scalar.mark).to(scalar.value[:offset]) or scalar.mark


class _Walk:
    """Reads a scalar as it is written and what it means side by side."""

    def __init__(self, lines: Sequence[str], start: Mark) -> None:
        self._lines = lines
        self._line, self._column = start.line - 1, start.column - 1
        self._indentation = 0
        self._style = ""
        while property_ := _PROPERTY.match(self._rest()):
            self._column += len(property_[0])
            if not self._rest() and self._line + 1 < len(self._lines):
                self._next_line()
        self._style = self._rest()[:1]
        if self._style in {'"', "'"}:
            self._column += 1
        elif self._style in {"|", ">"}:
            after = (line for line in self._lines[self._line + 1 :] if line.strip())
            self._indentation = _indentation(next(after, ""))
            self._next_line()

    def to(self, meaning: str) -> Mark | None:
        """The place behind a beginning of the value; None where the two do not agree."""
        for char in meaning:
            if not self._past(char):
                return None
        if not self._rest().strip() and self._line + 1 < len(self._lines):
            self._next_line()
        return Mark(self._line + 1, self._column + 1)

    def _rest(self) -> str:
        return self._lines[self._line][self._column :].rstrip("\r") if self._line < len(self._lines) else ""

    def _next_line(self) -> None:
        """To where the text goes on, behind the indentation: in a block, as much as its first line has."""
        self._line += 1
        found = _indentation(self._lines[self._line] if self._line < len(self._lines) else "")
        self._column = min(found, self._indentation) if self._style in {"|", ">"} else found

    def _past(self, char: str) -> bool:
        rest = self._rest()
        if not rest.strip() and char in " \n" and self._line + 1 < len(self._lines):
            self._next_line()
            return True
        if self._style == "'" and rest.startswith("''"):
            self._column += 2
            return char == "'"
        if self._style == '"' and (escape := _ESCAPE.match(rest)):
            self._column += len(escape[0])
            return True
        self._column += 1
        return rest[:1] == char


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
