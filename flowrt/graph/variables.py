"""`${NAME}` and `${NAME:-default}` in a graph's values, filled from `--set` first and the environment second.

A filled value without quotes is read as YAML reads a plain word (`port: ${PORT}` is a number), one in quotes stays
text. It is never read as structure. `$${` stands for `${`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Lookup

from flowrt.graph.tree import Entry, Mapping, Node, Scalar, Sequence
from flowrt.graph.words import resolve
from flowrt.problem import Problem
from flowrt.values import replace

_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<inner>[^{}]*)\}")
_INNER = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_.-]*?)(:-(?P<default>.*))?", re.DOTALL)
_MAX_TEXT = 2**20
"""Characters one filled value may have."""


class Variables:
    """Fills trees. `used` names the variables that were asked for, `problems` those without a value."""

    def __init__(self, path: str, sets: Lookup[str, str], environ: Lookup[str, str]) -> None:
        self._path = path
        self._sets = sets
        self._environ = environ
        self.used: set[str] = set()
        self.problems: list[Problem] = []

    def fill(self, node: Node) -> Node:
        """The same tree with every scalar's variables filled; keys are left as they are."""
        if isinstance(node, Scalar):
            return self._scalar(node) if "${" in node.text else node
        if isinstance(node, Sequence):
            return replace(node, items=tuple(self.fill(item) for item in node.items))
        return self.fill_mapping(node)

    def fill_mapping(self, node: Mapping) -> Mapping:
        entries = {key: Entry(entry.mark, self.fill(entry.value)) for key, entry in node.entries.items()}
        return replace(node, entries=entries)

    def _scalar(self, scalar: Scalar) -> Scalar:
        missing: list[str] = []
        filled = _VARIABLE.sub(lambda match: self._value(match, missing), scalar.text)
        for message in missing:
            mark = scalar.mark
            self.problems.append(Problem(self._path, mark.line, mark.column, "unset-variable", message))
        if missing or len(filled) > _MAX_TEXT:
            return replace(scalar, value=scalar.text, unset=True)
        return replace(scalar, value=resolve(filled) if scalar.plain else filled, filled=True)

    def _value(self, match: re.Match[str], missing: list[str]) -> str:
        if match["inner"] is None:
            return "${"
        inner = _INNER.fullmatch(match["inner"])
        if inner is None:
            missing.append(f"{match[0]} is not a variable; write ${{NAME}}, or $${{ for the characters themselves")
            return match[0]
        name, default = inner["name"], inner["default"]
        self.used.add(name)
        value = self._sets.get(name) or self._environ.get(name)
        if value or default is not None:
            return value or default
        if name in self._sets or name in self._environ:
            return ""
        missing.append(
            f"{match[0]} has no value; give --set {name}=…, set it in the environment, or write ${{{name}:-…}}"
        )
        return match[0]
