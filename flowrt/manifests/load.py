"""A folder of AIO's resources as graphs, the way `flowrt.graph.load` reads one file."""

from __future__ import annotations

from pathlib import Path

from flowrt.graph.graph import Graph
from flowrt.graph.reading import validate, without_empty_modules
from flowrt.manifests import resources
from flowrt.manifests.compose import compose
from flowrt.manifests.folder import read
from flowrt.problem import Problem


def graphs_of(path: Path) -> tuple[list[Graph], list[Problem]]:
    """Every enabled `DataflowGraph` of a folder as a graph that has not been checked, and what is wrong with the
    manifests. A graph's path is a file in the folder that need not be there: its modules and models are found from
    it."""
    folder = read(path)
    graphs: list[Graph] = []
    for name, found in folder.resources["DataflowGraph"].items():
        resource = found.resource
        if isinstance(resource, resources.DataflowGraph) and resource.spec.mode == "Disabled":
            continue
        tree = compose(folder, found)
        if tree is None:
            continue
        graph, problems = validate(without_empty_modules(tree), str(path / f"{name}.yaml"))
        folder.problems += problems
        if graph is not None:
            graphs.append(graph)
    return graphs, folder.problems
