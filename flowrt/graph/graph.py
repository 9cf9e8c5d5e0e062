"""A graph file that was read: its values, and where each of them stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from flowrt.graph.model import GraphFile
from flowrt.graph.owner import THE_GRAPH, owner
from flowrt.graph.tree import Mapping, Mark, at
from flowrt.graph.wiring import Wiring
from flowrt.problem import Problem, Severity
from flowrt.values import Struct

Loc = tuple[str | int, ...]
PLACEHOLDER = "?"
"""What stands in a repaired graph for a required text that is missing."""


@dataclass(frozen=True)
class Graph:
    """What the checks look at. Never changed."""

    path: str
    file: GraphFile
    root: Mapping = field(repr=False)
    whole: bool = True
    """Whether every operation and connection of the file is here. If not, what is unconnected may only seem so."""
    repaired: bool = False
    """Whether something was left out because it was wrong. If so, what is missing may only seem so."""
    text: str = field(default="", repr=False)
    """The file as it is written."""

    @cached_property
    def wiring(self) -> Wiring:
        return Wiring(self.file)

    @property
    def name(self) -> str:
        """The graph's name, or its file's."""
        if self.file.metadata is not None:
            return self.file.metadata.name
        return self.path.replace("\\", "/").rpartition("/")[2].partition(".")[0] or "graph"

    def made_up(self, text: str) -> bool:
        """Whether a text stands where a required one is missing, which is reported already."""
        return self.repaired and text == PLACEHOLDER

    def mark(self, loc: Loc) -> Mark:
        """Where a value stands, or what is nearest around it."""
        return at(self.root, loc)

    def problem(self, loc: Loc, code: str, message: str, severity: Severity = Severity.ERROR) -> Problem:
        """A problem at a value. `message` is preceded by what the value belongs to: `operation 'x'`."""
        mark = self.mark(loc)
        words, node = owner(self.root, loc)
        text = message if words == THE_GRAPH else f"{words}: {message}"
        return Problem(mark.path or self.path, mark.line, mark.column, code, text, node, severity)

    def warning(self, loc: Loc, code: str, message: str) -> Problem:
        """The same, as a warning."""
        return self.problem(loc, code, message, Severity.WARNING)


class Reading(Struct, frozen=True):
    """What became of a file. `graph` is None when nothing in it can be checked further."""

    graph: Graph | None
    problems: list[Problem]
    variables: frozenset[str] = frozenset()
    """Variables that the file mentions."""
