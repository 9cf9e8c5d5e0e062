"""How operations are connected.

Every operation but a source may have several inputs: their messages are merged, as a concatenate would. AIO's
definitions use a concatenate there, and `check --portable` says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowrt.graph.graph import Graph
from flowrt.graph.model import Connection
from flowrt.graph.wiring import Edge
from flowrt.problem import Problem, nearest

ARMS = ("False", "True")


def check(graph: Graph) -> Iterator[Problem]:
    """Connections that lead nowhere, and operations that no message reaches or leaves."""
    if not graph.file.operations:
        if graph.whole:
            yield graph.problem(
                ("operations",), "no-operations", "there are no operations; add at least a source and a sink"
            )
        return
    for index, connection in enumerate(graph.file.connections):
        yield from _ends(graph, index, connection)
    yield from _twice(graph)
    yield from _cycle(graph)
    for edge in graph.wiring.edges:
        yield from _direction(graph, edge)
    if graph.whole and not _dangling(graph):
        yield from _reach(graph)


def _ends(graph: Graph, index: int, connection: Connection) -> Iterator[Problem]:
    known = graph.wiring.operations
    for key, name in (("from", connection.from_.name), ("to", connection.to.name)):
        if name not in known and not graph.made_up(name):
            remedy = nearest(name, known) or f"; known are {', '.join(known)}"
            yield graph.problem(
                ("connections", index, key, "name"), "unknown-operation", f"there is no operation '{name}'{remedy}"
            )
    if connection.from_.name == connection.to.name and not graph.made_up(connection.to.name):
        message = f"it leads from '{connection.to.name}' to itself; remove it"
        yield graph.problem(("connections", index, "to", "name"), "self-loop", message)
    schema = connection.from_.schema_name
    names = [schema.name for schema in graph.file.schemas]
    if schema is not None and schema not in names:
        remedy = nearest(schema, names) or "; add it to `schemas`"
        yield graph.problem(
            ("connections", index, "from", "schemaName"), "unknown-schema", f"there is no schema '{schema}'{remedy}"
        )


def _dangling(graph: Graph) -> bool:
    """Whether a connection has an end that does not exist: then what is unreachable is so because of that."""
    return len(graph.wiring.edges) < len(graph.file.connections)


def _twice(graph: Graph) -> Iterator[Problem]:
    first: dict[tuple[str, str | None, str], int] = {}
    for edge in graph.wiring.edges:
        key = (edge.source, edge.arm, edge.target)
        if key in first:
            line = graph.mark(("connections", first[key])).line
            message = f"it stands here a second time, first in line {line}; each message would arrive twice; remove one"
            yield graph.problem(("connections", edge.index), "duplicate-connection", message)
        first.setdefault(key, edge.index)


def _cycle(graph: Graph) -> Iterator[Problem]:
    if cycle := graph.wiring.cycle():
        path = " -> ".join([cycle[0].source, *(edge.target for edge in cycle)])
        message = f"it closes the cycle {path}, in which messages would run for ever; remove one of its connections"
        yield graph.problem(("connections", cycle[-1].index), "cycle", message)


def _direction(graph: Graph, edge: Edge) -> Iterator[Problem]:
    wiring = graph.wiring
    if wiring.kind(edge.target) == "source":
        message = f"'{edge.target}' is a source and has no input; connect to another operation"
        yield graph.problem(("connections", edge.index, "to", "name"), "source-with-input", message)
    if wiring.kind(edge.source) == "sink":
        message = f"'{edge.source}' is a sink and has no output; connect from another operation"
        yield graph.problem(("connections", edge.index, "from", "name"), "sink-with-output", message)
    if not graph.whole:
        return
    if edge.arm is not None and not wiring.has_arms(edge.source):
        message = (
            f"'{edge.source}' is a {wiring.kind(edge.source)} and has no arms; remove arm, or connect from a branch"
        )
        yield graph.problem(("connections", edge.index, "from", "arm"), "arm-without-branch", message)
    if edge.arm is None and wiring.has_arms(edge.source):
        message = f'\'{edge.source}\' is a branch, and the connection names no arm; add arm: "True" or arm: "False"'
        yield graph.problem(("connections", edge.index, "from"), "missing-arm", message)


def _reach(graph: Graph) -> Iterator[Problem]:
    wiring = graph.wiring
    sources = [name for name in wiring.operations if wiring.kind(name) == "source"]
    reached = wiring.downstream(sources)
    for name, index in wiring.index.items():
        kind, loc = wiring.kind(name), ("operations", index, "name")
        if kind != "source" and not wiring.incoming[name]:
            yield graph.problem(
                loc, "no-input", f"this {kind} has no input, so it never runs; connect something to it or remove it"
            )
        elif name not in reached:
            yield graph.problem(
                loc, "unreachable", f"no source leads to this {kind}, so it never runs; connect it or remove it"
            )
        arms = wiring.has_arms(name)
        if kind != "sink" and not arms and not wiring.outgoing[name]:
            yield graph.problem(
                loc, "no-output", f"this {kind}'s output goes nowhere; connect it to another operation or a sink"
            )
        if arms:
            yield from _arms(graph, name, index)


def _arms(graph: Graph, name: str, index: int) -> Iterator[Problem]:
    arms = {edge.arm for edge in graph.wiring.outgoing[name]}
    if None in arms:
        return
    for arm in ARMS:
        if arm not in arms:
            message = (
                f'the branch has no connection from its arm "{arm}"; add one with from: {{name: {name}, arm: "{arm}"}}'
            )
            yield graph.problem(("operations", index, "name"), "missing-arm", message)
