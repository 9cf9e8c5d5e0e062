"""The counters of several processes as those of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowrt.counters import Histogram, ModelCounters, NodeCounters
from flowrt.endpoints.base import EndpointCounters
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.view import EndpointView, GraphView, ModelView, NodeView
from flowrt.values import Struct, field


class NodeFigures(Struct):
    """One node's counters and what it holds at present."""

    kind: str
    counters: NodeCounters
    memory: int
    memory_limit: int
    cpu_limit: float | None
    waiting: Waiting | None
    bounds: Mapping[str, float] = field(default_factory=dict)
    """Of one worker."""


class Waiting(Struct):
    """What there is to see of an inbox."""

    messages: int
    bytes: int


class GraphFigures(Struct):
    """One graph in one worker, its sources' endpoints left out: those are the dealer's."""

    name: str
    version: str
    ready: bool
    broken: list[str]
    nodes: dict[str, NodeFigures]
    sinks: list[tuple[str, EndpointCounters]]
    models: dict[tuple[str, str], ModelCounters] = field(default_factory=dict)


def figures(runtime: Runtime) -> list[GraphFigures]:
    """Of a worker, to be sent."""
    return [
        GraphFigures(
            view.name,
            view.version,
            view.ready(),
            list(view.broken()),
            {node.name: _node(node) for node in view.nodes},
            [(end.name, end.counters) for end in view.endpoints[len(graph.sources) :]],
            {(model.node, model.model): model.counters for model in view.models},
        )
        for view, graph in zip(runtime.views, runtime.graphs, strict=True)
    ]


def views(
    workers: Sequence[Sequence[GraphFigures]],
    past: Sequence[Sequence[GraphFigures]],
    sources: Mapping[str, Sequence[EndpointView]],
    ready: Callable[[], bool],
    condemned: Sequence[tuple[str, str, NodeCounters]] = (),
) -> list[GraphView]:
    """Each graph as if one process ran it. `past`: the last figures of workers that have died; `condemned`: by graph
    and source, messages that ended workers."""
    if not workers:
        return []
    shown = [_view(graphs, list(before), sources, ready) for graphs, before in _by_graph(workers, past)]
    for graph, source, counters in condemned:
        for node in [node for view in shown if view.name == graph for node in view.nodes if node.name == source]:
            node.counters.dead_lettered += counters.dead_lettered
            for kind, count in counters.faults.items():
                node.counters.fault(kind, count)
    return shown


def _by_graph(
    workers: Sequence[Sequence[GraphFigures]], past: Sequence[Sequence[GraphFigures]]
) -> list[tuple[list[GraphFigures], list[GraphFigures]]]:
    return [([worker[at] for worker in workers], [worker[at] for worker in past]) for at in range(len(workers[0]))]


def _view(
    now: Sequence[GraphFigures],
    past: Sequence[GraphFigures],
    sources: Mapping[str, Sequence[EndpointView]],
    ready: Callable[[], bool],
) -> GraphView:
    first, ever = now[0], [*now, *past]
    sinks = [(name, [graph.sinks[at][1] for graph in now], [graph.sinks[at][1] for graph in past])
             for at, (name, _) in enumerate(first.sinks)]  # fmt: skip
    return GraphView(
        first.name,
        first.version,
        lambda: ready() and all(graph.ready for graph in now),
        lambda: [stage for graph in now for stage in graph.broken],
        [_node_view(name, [g.nodes[name] for g in now], [g.nodes[name] for g in past]) for name in first.nodes],
        [*sources.get(first.name, ()), *(_endpoint_view(*sink) for sink in sinks)],
        [ModelView(*key, total([graph.models[key] for graph in ever])) for key in first.models],
    )


def _node(node: NodeView) -> NodeFigures:
    waiting = Waiting(node.inbox.messages, node.inbox.bytes) if node.inbox else None
    limits = node.memory_limit, node.cpu_limit
    return NodeFigures(node.kind, node.counters, node.memory(), *limits, waiting, node.bounds)


def _node_view(name: str, now: Sequence[NodeFigures], past: Sequence[NodeFigures]) -> NodeView:
    first, count = now[0], len(now)
    memory = sum(node.memory for node in now)
    waiting = [node.waiting for node in now if node.waiting is not None]
    counters = total([node.counters for node in [*now, *past]])
    counters.disabled = any(node.counters.disabled for node in now)
    return NodeView(
        name,
        first.kind,
        counters,
        lambda: memory,
        first.memory_limit * count,
        None if first.cpu_limit is None else first.cpu_limit * count,
        total(waiting) if waiting else None,
        first.bounds,
    )


def _endpoint_view(name: str, now: Sequence[EndpointCounters], past: Sequence[EndpointCounters]) -> EndpointView:
    counters = total([*now, *past])
    counters.connected = min(one.connected for one in now)
    return EndpointView(name, counters, lambda: bool(counters.connected))


def total(parts: Sequence[Any]) -> Any:
    """Counters of one kind, added up: numbers, histograms, columns, dictionaries, objects of any of these."""
    first = parts[0]
    match first:
        case bool():
            return any(parts)
        case int() | float():  # a guest's own metric may be a number in one process and a histogram in another
            return sum(part for part in parts if isinstance(part, int | float))
        case dict():
            keys = dict.fromkeys(key for part in parts for key in part)
            return {key: total([part[key] for part in parts if key in part]) for key in keys}
        case Histogram():
            parts = [part for part in parts if isinstance(part, Histogram)]
            sums = Histogram(first.bounds)
            sums.counts = [sum(counts) for counts in zip(*(part.counts for part in parts), strict=True)]
            sums.sum = sum(part.sum for part in parts)
            return sums
        case str() | None:
            return first
        case list() | tuple():
            return type(first)([total(column) for column in zip(*parts, strict=True)])
        case Struct():
            return type(first)(*(total([getattr(part, name) for part in parts]) for name in first.__struct_fields__))
    names = getattr(type(first), "__slots__", None) or vars(first)
    sums = object.__new__(type(first))
    for name in names:
        setattr(sums, name, total([getattr(part, name) for part in parts]))
    return sums
