"""What there is to see of a running graph: names, limits and the counters themselves.

Metrics and the live page read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from flowrt.counters import ModelCounters, NodeCounters, UpdateCounters
from flowrt.endpoints.base import EndpointCounters, Sink, Source
from flowrt.runtime.inbox import Inbox
from flowrt.values import Struct, field

if TYPE_CHECKING:
    from flowrt.graph.plan import NodePlan
    from flowrt.runtime.graph import RunningGraph


class NodeView(Struct, frozen=True):
    """One node. `inbox` is None for a source and for a node that shares the stage of the one before it."""

    name: str
    kind: str
    """Its `operationType`."""
    counters: NodeCounters
    memory: Callable[[], int]
    """Bytes held at present; safe from any thread."""
    memory_limit: int
    """Bytes."""
    cpu_limit: float | None
    """Cores."""
    inbox: Inbox | None
    bounds: Mapping[str, float] = field(default_factory=dict)
    """Its other bounds, by the name of their option."""


class EndpointView(Struct, frozen=True):
    """One connection to the outside. Several operations may share its counters."""

    name: str
    counters: EndpointCounters
    ready: Callable[[], bool]


class ModelView(Struct, frozen=True):
    """What one node runs of one model."""

    node: str
    model: str
    counters: ModelCounters


class GraphView(Struct, frozen=True):
    """One graph, made once when it is built."""

    name: str
    version: str
    ready: Callable[[], bool]
    broken: Callable[[], Sequence[str]]
    """Stages whose thread has ended although nobody asked it to."""
    nodes: Sequence[NodeView]
    endpoints: Sequence[EndpointView]
    models: Sequence[ModelView] = ()
    updates: UpdateCounters = field(default_factory=UpdateCounters)
    failed_starts: int = 0
    """How often it did not come up since the program started."""


def view(graph: RunningGraph, failed_starts: int = 0) -> GraphView:
    """The view of a graph that has been built."""
    plan = graph.plan
    inboxes = {stage.nodes[0]: running.inbox for stage, running in zip(plan.stages, graph.plan_stages, strict=True)}
    ends: dict[str, Source | Sink] = {**graph.sources, **graph.sinks}
    return GraphView(
        graph.name,
        plan.version,
        graph.ready,
        graph.broken,
        [_node(graph, node, inboxes.get(node.name)) for node in plan.nodes.values()],
        [EndpointView(_endpoint(plan.nodes[name]), end.counters, end.ready) for name, end in ends.items()],
        [ModelView(node, model, runs) for node, models in graph.model_runs.items() for model, runs in models.items()],
        graph.updates,
        failed_starts,
    )


def _node(graph: RunningGraph, node: NodePlan, inbox: Inbox | None) -> NodeView:
    running = graph.nodes.get(node.name)
    return NodeView(
        node.name,
        _kind(node),
        running.counters if running else graph.entrances[node.name].counters,
        running.memory_bytes if running else _nothing,
        node.operation.resources.memory,
        node.operation.resources.cpu,
        inbox,
        node.operation.resources.bounds(),
    )


def _kind(node: NodePlan) -> str:
    return str(getattr(node.operation, "operation_type", "operation"))


def _endpoint(node: NodePlan) -> str:
    """The endpoint's name, or the operation's where it was bound from outside."""
    return getattr(node.operation, "endpoint", None) or node.name


def _nothing() -> int:
    return 0
