"""A folder of AIO's resources as graphs, the way `flowrt.graph.load` reads one file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flowrt.graph.graph import Graph
from flowrt.graph.reading import validate, without_empty_modules
from flowrt.graph.tree import Mapping as Tree
from flowrt.graph.tree import plain
from flowrt.manifests import resources
from flowrt.manifests.compose import compose
from flowrt.manifests.folder import read
from flowrt.manifests.writing import dump
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
            graphs.append(replace(graph, text=_text(tree)))
    return graphs, folder.problems


def _text(tree: Tree) -> str:
    """A graph file that says the same: what an update of the graph is compared with, and goes back to."""
    found = _literal(plain(tree))
    assert isinstance(found, dict)  # noqa: S101 - a tree of mappings was given
    return dump(found)


def _literal(value: object) -> object:
    """With the variables of graph files, which manifests do not have, as plain characters."""
    if isinstance(value, dict):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return value.replace("${", "$${") if isinstance(value, str) else value
