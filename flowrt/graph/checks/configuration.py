"""Configurations of modules: whose they are, and whether each required parameter has a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flowrt.graph.graph import Graph
from flowrt.graph.model import ModuleConfiguration
from flowrt.graph.parameters import keys_of, value_of
from flowrt.operators.base import Operation
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.transform import TransformOperation
from flowrt.problem import Problem, nearest


def check(graph: Graph, sets: Mapping[str, str]) -> Iterator[Problem]:
    """Configurations without operation, parameters without value."""
    for index, configuration in enumerate(graph.file.module_configurations):
        yield from _operation(graph, index, configuration)
        yield from _parameters(graph, index, configuration, sets)
        for key in configuration.model_extra or {}:
            loc = ("moduleConfigurations", index, key)
            remedy = nearest(key, ["name", "parameters"]) or "; it is ignored"
            yield graph.warning(loc, "unknown-field", f"there is no field '{key}'{remedy}")


def unused_sets(graph: Graph, sets: Mapping[str, str], variables: frozenset[str]) -> Iterator[Problem]:
    """Values of `--set` that nothing in this graph asks for."""
    keys = set(variables)
    for configuration in graph.file.module_configurations:
        for key, parameter in configuration.parameters.items():
            keys.update(keys_of(configuration.name, key, parameter))
    for key in sets:
        if key not in keys:
            remedy = nearest(key, keys) or "; check its spelling"
            yield graph.warning(
                (), "unused-set", f"--set {key} names no variable and no parameter of this graph{remedy}"
            )


def _operation(graph: Graph, index: int, configuration: ModuleConfiguration) -> Iterator[Problem]:
    name = configuration.name
    loc = ("moduleConfigurations", index, "name")
    known = {op.name: op for op in graph.file.operations}
    if name not in known:
        if graph.whole and not graph.made_up(name):
            remedy = nearest(name, known) or f"; known are {', '.join(known)}"
            yield graph.problem(loc, "unknown-operation", f"there is no operation '{name}'{remedy}")
    elif not _takes_parameters(known[name]) and graph.whole:
        yield graph.warning(
            loc, "unknown-operation", f"operation '{name}' runs no module, so it takes no parameters; remove them"
        )


def _takes_parameters(operation: Operation) -> bool:
    """A module's does, and one of AIO's built-in transforms, whose rules are parameters there."""
    return isinstance(operation, GuestOperation) or (
        isinstance(operation, TransformOperation) and operation.module is not None
    )


def _parameters(
    graph: Graph, index: int, configuration: ModuleConfiguration, sets: Mapping[str, str]
) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for key, parameter in configuration.parameters.items():
        loc = ("moduleConfigurations", index, "parameters", key)
        if parameter.required and value_of(configuration.name, key, parameter, sets) is None:
            message = f"parameter '{key}' is required and has no value; give --set {key}=… or a default"
            yield graph.problem(loc, "missing-parameter", message)
        if parameter.name in first and not graph.made_up(parameter.name):
            other = first[parameter.name]
            message = f"parameters '{other}' and '{key}' are both given to the module as '{parameter.name}'; rename one"
            yield graph.problem(loc, "duplicate-parameter", message)
        first.setdefault(parameter.name, key)
