"""From a file to a plan, with every problem on the way: what the command line calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from flowrt.graph.checks import check
from flowrt.graph.checks.configuration import unused_sets
from flowrt.graph.checks.endpoints import unbound
from flowrt.graph.facts import Machine
from flowrt.graph.graph import Graph, Reading
from flowrt.graph.plan import Plan
from flowrt.graph.planner import plan
from flowrt.graph.resolve import NOTHING_STORED, InspectModel, InspectModule, Stored, gather, module_folders
from flowrt.problem import Problem, has_errors, in_order

Read = Callable[[bytes, str, Mapping[str, str], Mapping[str, str]], Reading]
"""A file's bytes, its path, `--set`'s values and the environment to what became of it."""


def read_anew(data: bytes, path: str, sets: Mapping[str, str], environ: Mapping[str, str]) -> Reading:
    """Parse and validate, which loads what that takes."""
    from flowrt.graph.reading import read

    return read(data, path, sets, environ)


def load(
    path: Path,
    *,
    sets: Mapping[str, str],
    environ: Mapping[str, str],
    bindings: Mapping[str, str],
    modules_dirs: Iterable[Path],
    inspect_module: InspectModule,
    inspect_model: InspectModel,
    machine: Machine | None,
    abstract_ends: bool = True,
    data: bytes | None = None,
    stored: Stored = NOTHING_STORED,
    read: Read = read_anew,
) -> tuple[Plan | None, list[Problem]]:
    """The plan of the graph at `path`, or None when a problem is an error; and all problems, in order.

    `sets` are `--set`'s values, `bindings` `--bind`'s URLs by operation. `abstract_ends`: whether a source or sink may
    be left without an endpoint, as in AIO's definitions; a graph that is to run may not. `data` takes the place of what
    the file holds.
    """
    graph, problems = read_graph(path, sets=sets, environ=environ, data=data, read=read)
    if graph is None:
        return None, in_order(problems)
    planned, found = plan_of(
        graph,
        sets=sets,
        environ=environ,
        bindings=bindings,
        modules_dirs=modules_dirs,
        inspect_module=inspect_module,
        inspect_model=inspect_model,
        machine=machine,
        abstract_ends=abstract_ends,
        stored=stored,
    )
    problems += found
    return None if has_errors(problems) else planned, in_order(problems)


def plan_of(
    graph: Graph,
    *,
    sets: Mapping[str, str],
    environ: Mapping[str, str],
    bindings: Mapping[str, str],
    modules_dirs: Iterable[Path],
    inspect_module: InspectModule,
    inspect_model: InspectModel,
    machine: Machine | None,
    abstract_ends: bool = True,
    stored: Stored = NOTHING_STORED,
) -> tuple[Plan | None, list[Problem]]:
    """The same for a graph that was read already, whose own mistakes are reported."""
    graph, problems = _bound(graph, bindings)
    folders = module_folders(Path(graph.path), modules_dirs, environ)
    facts = gather(graph, folders, inspect_module, inspect_model, machine, stored)
    problems += check(graph, facts, sets)
    if not abstract_ends:
        problems += unbound(graph)
    return None if has_errors(problems) or graph.repaired else plan(graph, facts, sets), problems


def _bound(graph: Graph, bindings: Mapping[str, str]) -> tuple[Graph, list[Problem]]:
    if not bindings:
        return graph, []
    from flowrt.graph.bindings import bind

    return bind(graph, bindings)


def read_graph(
    path: Path,
    *,
    sets: Mapping[str, str],
    environ: Mapping[str, str],
    data: bytes | None = None,
    read: Read = read_anew,
) -> tuple[Graph | None, list[Problem]]:
    """The graph at `path` by its text alone: no module or model is looked for."""
    try:
        data = Path(path).read_bytes() if data is None else data
    except OSError as error:
        message = f"the file cannot be read: {error.strerror or error}; check its path and permissions"
        return None, [Problem(str(path), 0, 0, "unreadable-file", message)]
    reading = read(data, str(path), sets, environ)
    problems = list(reading.problems)
    if reading.graph is not None:
        problems += unused_sets(reading.graph, sets, reading.variables)
    return reading.graph, problems
