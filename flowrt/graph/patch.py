"""Quotas written into the text of a graph file, which otherwise stays as it is: comments, order, style."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from flowrt.graph.graph import Graph

_SCALAR = re.compile(r"""[^\s,}\]#]+|"[^"]*"|'[^']*'""")

Edit = tuple[int, int, int, str]
"""Line and column from 0, how many characters go, and what comes in their place."""


def with_resources(graph: Graph, text: str, wanted: Mapping[str, Mapping[str, str]]) -> str:
    """The text with these `resources` of operations by name, each a field and its value as it is written."""
    edits: list[Edit] = []
    for index, operation in enumerate(graph.file.operations):
        fields = wanted.get(operation.name)
        if fields:
            edits += _edits(graph, text.splitlines(), index, fields)
    return _applied(text, edits)


def difference(before: str, after: str, path: str) -> str:
    """A unified diff, for `patch -p0`; empty where nothing changes."""
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), path, path)
    return "".join(lines)


def _edits(graph: Graph, lines: Sequence[str], index: int, fields: Mapping[str, str]) -> list[Edit]:
    """What to change for one operation. Empty where its style leaves no safe place."""
    here = ("operations", index)
    if not graph.file.operations[index].resources.model_fields_set:
        mark = graph.mark((*here, "name"))
        return _after_name(lines, mark.line - 1, mark.column - 1, fields)
    resources = graph.mark((*here, "resources"))
    flow = lines[resources.line - 1][resources.column - 1 :].startswith("{")
    edits: list[Edit] = []
    missing = []
    for field, value in fields.items():
        mark = graph.mark((*here, "resources", field))
        if mark == resources:
            missing.append(f"{field}: {value}")
        else:
            found = _SCALAR.match(lines[mark.line - 1], mark.column - 1)
            edits.append((mark.line - 1, mark.column - 1, len(found[0]) if found else 0, value))
    if missing and flow:
        edits.append((resources.line - 1, resources.column, 0, ", ".join(missing) + ", "))
    elif missing:
        indent = " " * (resources.column - 1)
        edits.append((resources.line - 1, 0, 0, "".join(f"{indent}{line}\n" for line in missing)))
    return edits


def _after_name(lines: Sequence[str], line: int, column: int, fields: Mapping[str, str]) -> list[Edit]:
    """Behind the operation's name: on a line of its own in block style, behind a comma in flow style."""
    written = "resources: {" + ", ".join(f"{field}: {value}" for field, value in fields.items()) + "}"
    found = _SCALAR.match(lines[line], column)
    if found is None:
        return []
    if re.match(r"\s*(- )?\s*name:\s*$", lines[line][:column]):
        indent = " " * lines[line].index("name:")
        return [(line + 1, 0, 0, f"{indent}{written}\n")]
    return [(line, found.end(), 0, f", {written}")]


def _applied(text: str, edits: Sequence[Edit]) -> str:
    lines = [*text.splitlines(keepends=True), ""]
    if len(lines) > 1 and not lines[-2].endswith("\n"):
        lines[-2] += "\n"
    for line, column, size, new in sorted(edits, reverse=True):
        lines[line] = lines[line][:column] + new + lines[line][column + size :]
    return "".join(lines)
