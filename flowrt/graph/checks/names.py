"""Names that stand twice."""

from __future__ import annotations

from collections.abc import Iterator

from flowrt.graph.graph import Graph
from flowrt.problem import Problem

_LISTS = {
    "operations": "operations",
    "endpoints": "endpoints",
    "models": "models",
    "moduleConfigurations": "module_configurations",
    "schemas": "schemas",
}
"""Lists of named things: key in the file, attribute of `GraphFile`."""


def check(graph: Graph) -> Iterator[Problem]:
    """Two operations, endpoints, models, configurations or schemas of one name."""
    for key, attribute in _LISTS.items():
        first: dict[str, int] = {}
        for index, item in enumerate(getattr(graph.file, attribute)):
            name = item.name
            if name in first and not graph.made_up(name):
                line = graph.mark((key, first[name], "name")).line
                message = f"the name '{name}' stands here a second time, first in line {line}; rename one"
                yield graph.problem((key, index, "name"), "duplicate-name", message)
            first.setdefault(name, index)
