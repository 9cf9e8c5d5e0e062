"""From a plan to a running graph: the only place where operators, engine, models and endpoints meet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from flowrt.counters import NodeCounters
from flowrt.endpoints.base import Sink, Source
from flowrt.endpoints.registry import Endpoints
from flowrt.errors import StartError
from flowrt.graph.plan import NodePlan, Plan
from flowrt.message import Batch
from flowrt.operators.base import GuestFactory, Operator
from flowrt.operators.branch import BranchOperation, BranchOperator
from flowrt.operators.concatenate import ConcatenateOperation, ConcatenateOperator
from flowrt.operators.filter import FilterOperation, FilterOperator
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.inference import InferenceOperation, InferenceOperator
from flowrt.operators.map import MapOperation, MapOperator
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.runtime.ends import Entrance, SinkOperator
from flowrt.runtime.graph import RunningGraph
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.node import Node, Target
from flowrt.runtime.onerror import FaultHandler
from flowrt.runtime.stage import Stage
from flowrt.runtime.surroundings import Surroundings

GUESTS: dict[type[GuestOperation], Callable[[GuestFactory], Operator]] = {
    MapOperation: MapOperator,
    FilterOperation: FilterOperator,
    BranchOperation: BranchOperator,
}
"""Operations with a module, and what runs them."""


@dataclass
class _Parts:
    """A graph while it is built."""

    endpoints: Endpoints
    nodes: dict[str, Node] = field(default_factory=dict)
    entrances: dict[str, Entrance] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    sinks: dict[str, Sink] = field(default_factory=dict)
    extra_sinks: list[Sink] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)


def build(plan: Plan, surroundings: Surroundings) -> RunningGraph:
    """Open everything a plan names and connect it. Nothing is started.

    Raises `StartError` for what the surroundings lack, `NodeFault` when a guest's init refuses or a model fails.
    """
    parts = _Parts(Endpoints(plan.name, plan.endpoints, emit=surroundings.emit, broker=surroundings.broker))
    for node in plan.nodes.values():
        if isinstance(node.operation, SourceOperation):
            _add_source(parts, node)
        else:
            _add_node(parts, plan, node, surroundings)
    stages = _stages(parts, plan)
    return RunningGraph(
        plan,
        nodes=parts.nodes,
        entrances=parts.entrances,
        stages=stages,
        sources=parts.sources,
        sinks=parts.sinks,
        extra_sinks=parts.extra_sinks,
        stopping=parts.stopping,
        emit=surroundings.emit,
    )


def _add_source(parts: _Parts, node: NodePlan) -> None:
    operation = node.operation
    assert isinstance(operation, SourceOperation)
    counters = NodeCounters()
    parts.entrances[node.name] = Entrance(counters, operation.overflow)
    parts.sources[node.name] = parts.endpoints.source(operation)


def _add_node(parts: _Parts, plan: Plan, node: NodePlan, around: Surroundings) -> None:
    counters = NodeCounters()
    operation = node.operation
    faults = FaultHandler(
        plan.name,
        node.name,
        operation.on_error,
        counters,
        around.letters,
        parts.stopping,
        around.emit,
        digest=node.module.digest if node.module else "",
        publish=_publisher(parts, plan, node, around),
    )
    parts.nodes[node.name] = Node(
        plan.name,
        node.name,
        _operator(parts, plan, node, counters, faults, around),
        faults,
        counters,
        on_error=operation.on_error,
        message_max=operation.resources.message,
        cpu=operation.resources.cpu,
        stopping=parts.stopping,
        emit=around.emit,
    )


def _operator(
    parts: _Parts, plan: Plan, node: NodePlan, counters: NodeCounters, faults: FaultHandler, around: Surroundings
) -> Operator:
    operation = node.operation
    if isinstance(operation, SinkOperation):
        sink = parts.endpoints.sink(operation, faults.refuse)
        parts.sinks[node.name] = sink
        return SinkOperator(sink, counters)
    if isinstance(operation, ConcatenateOperation):
        return ConcatenateOperator()
    if isinstance(operation, InferenceOperation):
        return InferenceOperator(around.models.rows(node.models[0]), operation.batch.max)
    if isinstance(operation, GuestOperation) and type(operation) in GUESTS:
        return GUESTS[type(operation)](_guest_factory(plan, node, operation, around))
    kind = type(operation).__name__.removesuffix("Operation").lower()
    raise StartError(f"node '{node.name}' of graph '{plan.name}': this version does not run '{kind}' operations")


def _guest_factory(plan: Plan, node: NodePlan, operation: GuestOperation, around: Surroundings) -> GuestFactory:
    from flowrt.wasm.factory import guest_factory

    assert node.module is not None
    return guest_factory(
        around.engine,
        node.module,
        operation.resources,
        node.properties,
        emit=around.emit,
        graph=plan.name,
        node=node.name,
        grants=frozenset(operation.grants),
        cache=around.cache,
    )


def _publisher(parts: _Parts, plan: Plan, node: NodePlan, around: Surroundings) -> Callable[[Batch], None] | None:
    """Where `onError.topic` publishes: a sink of its own beside the graph's."""
    on_error = node.operation.on_error
    if on_error.topic is None:
        return None
    operation = SinkOperation(
        operation_type="sink",
        name=f"{node.name} onError",
        endpoint=on_error.endpoint or next(iter(plan.endpoints)),
        topic=on_error.topic,
    )
    sink = parts.endpoints.sink(operation)
    parts.extra_sinks.append(sink)
    return sink.send


def _stages(parts: _Parts, plan: Plan) -> Sequence[Stage]:
    inboxes = [Inbox(stage.inbox, stage.inbox_bytes) for stage in plan.stages]
    for node in plan.nodes.values():
        if node.name in parts.entrances:
            parts.entrances[node.name].inboxes = [inboxes[plan.nodes[to].stage] for to in node.targets[0]]
        else:
            parts.nodes[node.name].targets = [
                [_target(parts, plan, inboxes, node, plan.nodes[to]) for to in port] for port in node.targets
            ]
    return [
        Stage(f"{plan.name}/{stage.nodes[0]}", inbox, parts.nodes[stage.nodes[0]], stage.batch, stage.wait)
        for stage, inbox in zip(plan.stages, inboxes, strict=True)
    ]


def _target(parts: _Parts, plan: Plan, inboxes: Sequence[Inbox], node: NodePlan, to: NodePlan) -> Target:
    return parts.nodes[to.name].accept if to.stage == node.stage else inboxes[to.stage].put
