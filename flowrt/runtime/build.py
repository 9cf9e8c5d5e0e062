"""From a plan to a running graph: the only place where operators, engine, models and endpoints meet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from flowrt.counters import ModelCounters, NodeCounters
from flowrt.endpoints.base import Noting, Sink, Source, Stopped
from flowrt.errors import FlowrtBug, NodeFault, StartError
from flowrt.events import Emit, GuestLogged
from flowrt.graph.facts import ModuleFacts
from flowrt.graph.plan import NodePlan, Plan
from flowrt.graph.timing import keeps_state, needs_time
from flowrt.graph.worlds import is_component, uses_state
from flowrt.message import Batch
from flowrt.operators.accumulate import AccumulateOperation, AccumulateOperator
from flowrt.operators.base import GuestFactory, Model, Operator
from flowrt.operators.branch import BranchOperation, BranchOperator
from flowrt.operators.concatenate import ConcatenateOperation, ConcatenateOperator, OrderingOperator
from flowrt.operators.delay import DelayOperation, DelayOperator
from flowrt.operators.filter import FilterOperation, FilterOperator
from flowrt.operators.formatted import FormatOperation
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.inference import InferenceOperation, InferenceOperator
from flowrt.operators.map import MapOperation, MapOperator
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.operators.transform import TransformOperation
from flowrt.quota.bucket import SharedBucket
from flowrt.quota.pool import Pool
from flowrt.quota.quantity import format_bytes
from flowrt.quota.resources import NO_BUDGET
from flowrt.runtime.ends import Entrance, SinkOperator
from flowrt.runtime.graph import RunningGraph, Shared
from flowrt.runtime.identity import Keys, wants_keys
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.limits import Limits
from flowrt.runtime.node import Node
from flowrt.runtime.onerror import FaultHandler
from flowrt.runtime.parts import NodeParts
from flowrt.runtime.quota_state import quota_state
from flowrt.runtime.stage import Stage
from flowrt.runtime.stateful import stateful
from flowrt.runtime.surroundings import Surroundings
from flowrt.runtime.time_wiring import timing_of
from flowrt.runtime.timed import keeping
from flowrt.runtime.wiring import connect, stage_for
from flowrt.state.store import StateStore
from flowrt.values import replace

if TYPE_CHECKING:
    from flowrt.nn.doors.node import NodeDoor

SIDE_BATCH = 256
"""Copies for an `onError.topic` sent at once."""


class Builder:
    """A graph while it is built."""

    def __init__(self, plan: Plan, around: Surroundings, beside: RunningGraph | None = None) -> None:
        """`beside` is a running graph that some nodes are made for: they share its ends, budget, counters and stop."""
        self.parts: dict[str, NodeParts] = {}
        self.entrances: dict[str, Entrance] = {}
        self.sources: dict[str, Source] = {}
        self.sinks: dict[str, Sink] = {}
        self.model_runs: dict[str, Mapping[str, ModelCounters]] = {}
        self.pools: dict[str, Pool] = {}
        """By node, the account of what is held for it."""
        self.beside: dict[str, list[Callable[[], int]]] = {}
        """By node, what tells the bytes held for it beside its operator."""
        self.closers: list[Callable[[], None]] = []
        """What to give back when the node ends that is being made, last first."""
        self._side: list[tuple[Stage, Sink]] = []
        self._plan = plan
        self._identify = wants_keys([node.operation for node in plan.nodes.values()])
        self._around = around
        self._beside = beside
        self._shared = beside.shared if beside is not None else _shared(plan, around)
        self._stopping = self._shared.stopping
        self._budgets = self._shared.budgets
        self._pool = self._shared.pool
        self._endpoints = self._shared.endpoints

    def build(self) -> RunningGraph:
        for node in self._plan.nodes.values():
            if isinstance(node.operation, SourceOperation):
                self.enter(node, node.operation)
                self.sources[node.name] = self._endpoints.source(node.operation)
            else:
                self.make(node)
        plan, parts = self._plan, self.parts
        stages = [stage_for(plan, stage, parts) for stage in plan.stages]
        connect(plan, parts, self.entrances, stages)
        timing = timing_of(plan, parts, self.entrances, stages, self._around.graph_clock)
        for name in timing.entrances if timing is not None else ():
            if isinstance(source := self.sources[name], Noting):
                source.note()
        return RunningGraph(plan, parts, self.entrances, stages, self.sources, self._shared, self._around.emit, timing)

    def enter(self, node: NodePlan, operation: SourceOperation) -> None:
        """Make the way in of one source."""
        counters = NodeCounters()
        entrance = Entrance(counters, operation.overflow, self._limits(node, counters, shared=False))
        entrance.identify = self._identify
        self.entrances[node.name] = entrance

    def make(self, node: NodePlan) -> None:
        """Open everything for one node."""
        self.closers, self._side = [], []
        running = self._node(node)
        self.parts[node.name] = NodeParts(
            running,
            self.pools[node.name],
            isinstance(node.operation, GuestOperation),
            self.sinks.get(node.name),
            tuple(self._side),
            self.model_runs.get(node.name),
            self.closers,
        )
        self.closers = []

    def close(self) -> None:
        """Give back what was opened so far."""
        while self.closers:
            self.closers.pop()()
        for part in reversed(self.parts.values()):
            part.close()

    def _counters(self, node: NodePlan) -> NodeCounters:
        """A node that takes the place of another of its name goes on counting where that one is."""
        present = self._beside.nodes.get(node.name) if self._beside is not None else None
        counters = present.counters if present is not None else NodeCounters()
        counters.own.series_max = node.operation.resources.metric_series
        return counters

    def _node(self, node: NodePlan) -> Node:
        operation, counters = node.operation, self._counters(node)
        limits = self._limits(node, counters)
        faults = FaultHandler(
            self._plan.name,
            node.name,
            operation.on_error,
            counters,
            self._around.letters,
            self._stopping,
            self._around.emit,
            digest=node.module.digest if node.module else "",
            publish=self._publisher(node, counters),
        )
        pool = self.pools[node.name] = Pool(operation.resources.memory, "its quota", self._pool)
        try:
            operator = self.operator(node, counters, faults, limits, pool)
        except NodeFault as fault:
            raise StartError(f"node '{node.name}' of '{self._plan.name}' does not come up: {fault}") from fault
        self.closers.append(operator.close)
        given: dict[str, Any] = {
            "on_error": operation.on_error,
            "limits": limits,
            "stopping": self._stopping,
            "emit": self._around.emit,
        }
        running = Node(self._plan.name, node.name, operator, faults, counters, **given)
        if needs_time(operation) and node.name not in self._around.stand_ins:
            timed = keeping(self._plan.name, node, operator, faults, counters, self._around.checkpoints, **given)
            timed.identify = self._identify
            self.closers.append(timed.close)
            running = timed
        elif keeps_state(operation) and node.name not in self._around.stand_ins:
            running = stateful(self._plan.name, node, operator, faults, counters, self._around.checkpoints, **given)
            self.closers.append(running.close)
        running.holds += self.beside.get(node.name, ())
        running.bounds_outputs = isinstance(operation, GuestOperation) and node.name not in self._around.stand_ins
        faults.quota = partial(quota_state, running.memory_bytes, operation.resources, counters)
        return running

    def _limits(self, node: NodePlan, counters: NodeCounters, *, shared: bool = True) -> Limits:
        return Limits(
            self._plan.name,
            node.name,
            node.operation.resources,
            counters,
            self._stopping,
            self._around.emit,
            budgets=self._budgets if shared else (),
            clock=self._around.clock,
            divides=not isinstance(node.operation, InferenceOperation),
        )

    def operator(
        self, node: NodePlan, counters: NodeCounters, faults: FaultHandler | None, limits: Limits, pool: Pool
    ) -> Operator:
        """The running code of a node. `faults` is None in a process of its own, where there are no sinks."""
        if node.name in self._around.stand_ins:
            return self._around.stand_ins[node.name]
        match node.operation:
            case (GuestOperation() | InferenceOperation()) as operation if operation.resources.isolation == "process":
                return self._isolated(node, counters, limits)
            case SinkOperation() as operation:
                sink = self.sinks[node.name] = self._endpoints.sink(operation, faults.refuse if faults else None)
                give = operation.idempotency_key
                keys = Keys(self._plan.name, node.name, give=give) if self._identify else None
                outward, stamps = operation.outward if operation.headers else None, operation.timestamp == "write"
                return SinkOperator(sink, counters, outward, keys, stamps=stamps)
            case ConcatenateOperation() as operation:
                timed = needs_time(operation)
                return OrderingOperator(counters, operation.resources.memory) if timed else ConcatenateOperator()
            case TransformOperation() as operation:
                from flowrt.runtime.transforms import transform_operator  # few graphs have one

                home = Path(self._plan.path).parent
                around = self._around
                return transform_operator(
                    operation, home, lambda: around.states, node.schemas, around.clock, counters=counters
                )
            case FormatOperation() as operation:
                from flowrt.runtime.formats import codec_operator  # few graphs have one

                return codec_operator(operation, node.schemas, self._around.clock)
            case InferenceOperation() as operation:
                inference = InferenceOperator(self._model(node), operation.batch.max)
                self.closers.append(inference.close)
                self._hold_model(node, inference.memory_bytes(), pool)
                self.model_runs[node.name] = {node.models[0].name: inference.counters}
                return inference
            case GuestOperation() as operation if is_component(node.module):
                return guest_operator(operation, self._component_factory(node, counters, limits, pool), counters)
            case GuestOperation() as operation if node.module is not None:
                factory = self._guest_factory(node, node.module, operation, counters, limits, pool)
                return guest_operator(operation, factory, counters)
        kind = type(node.operation).__name__.removesuffix("Operation").lower()
        raise StartError(f"node '{node.name}' of '{self._plan.name}': this version does not run '{kind}' operations")

    def _isolated(self, node: NodePlan, counters: NodeCounters, limits: Limits) -> Operator:
        from flowrt.isolation.cgroup import cgroup_for
        from flowrt.isolation.operator import IsolatedOperator

        graph, name, around, resources = self._plan.name, node.name, self._around, node.operation.resources
        runs = self.model_runs[name] = {use.name: ModelCounters() for use in node.models}
        alone = replace(self._plan, nodes={name: _in_thread(node)}, stages=(), endpoints={}, budget=NO_BUDGET)
        return IsolatedOperator(
            (alone, around.state, around.interpreter),
            resources,
            limits.meter,
            lambda severity, text: around.emit(GuestLogged(graph, name, severity, text)),
            counters,
            runs,
            limit_first=isinstance(node.operation, InferenceOperation),
            cgroup=cgroup_for(f"{graph}-{name}", resources),
            writable=self._writable(node),
        )

    def _writable(self, node: NodePlan) -> list[Path]:
        """Folders that a node's own process may write to: a guest's alone has reason to."""
        operation, around = node.operation, self._around
        if not isinstance(operation, GuestOperation):
            return []
        home = Path(self._plan.path).parent.absolute()
        granted = [home / folder.path for folder in operation.folders if folder.write]
        cache = around.cache.directory
        ours = [*([cache] if cache else []), *([around.state] if uses_state(node.module) else [])]
        for folder in ours:  # it cannot make them itself
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return [*granted, *ours]

    def _guest_factory(
        self,
        node: NodePlan,
        module: ModuleFacts,
        operation: GuestOperation,
        counters: NodeCounters,
        limits: Limits,
        pool: Pool,
    ) -> GuestFactory:
        from flowrt.wasm.factory import guest_factory  # a graph without guests never loads the engine

        around = self._around
        return guest_factory(
            around.engine,
            module,
            operation.resources,
            node.properties,
            emit=around.emit,
            graph=self._plan.name,
            node=node.name,
            extra=self._nn_door(node, counters, pool).core if node.nn else tuple,
            grants=frozenset(operation.grants),
            cache=around.cache,
            meter=limits.meter,
            pool=pool,
            denied=counters.denied,
            counters=counters,
        )

    def _component_factory(self, node: NodePlan, counters: NodeCounters, limits: Limits, pool: Pool) -> GuestFactory:
        from flowrt.wasm.component.factory import component_factory
        from flowrt.wasm.component.grants import Folder, Grants

        around, nn, operation, home = self._around, {}, node.operation, Path(self._plan.path).parent
        if not isinstance(operation, GuestOperation):
            raise FlowrtBug(f"node '{node.name}' has no guest")
        folders = tuple(Folder(home / folder.path, folder.at, folder.write) for folder in operation.folders)
        if node.nn:
            nn = self._nn_offer(node, counters, pool)
        return component_factory(
            around.engine,
            node,
            emit=around.emit,
            graph=self._plan.name,
            metrics=counters.own,
            state=around.states if uses_state(node.module) else StateStore(),
            cache=around.cache,
            meter=limits.meter,
            pool=pool,
            grants=Grants(frozenset(operation.grants), folders, operation.environment),
            counters=counters,
            apart=not around.alone,
            **nn,
        )

    def _nn_offer(self, node: NodePlan, counters: NodeCounters, pool: Pool) -> dict[str, Any]:
        from flowrt.nn.doors.wit import OFFERED

        wanted = {name for name, _, _ in node.module.imports} if node.module else set()
        return {"extra": partial(self._nn_door(node, counters, pool).component, wanted), "more": OFFERED}

    def _model(self, node: NodePlan) -> Model:
        resources, graph, emit = node.operation.resources, self._plan.name, self._around.emit
        return self._around.models.rows(
            node.models[0],
            room=resources.memory if "memory" in resources.model_fields_set else None,
            report=lambda text: emit(GuestLogged(graph, node.name, "warn", text)),
        )

    def _hold_model(self, node: NodePlan, size: int, pool: Pool) -> None:
        """A model counts where the user says how much memory there is for it: the default is meant for guests."""
        resources = node.operation.resources
        if "memory" in resources.model_fields_set or self._pool is not None:
            if "memory" not in resources.model_fields_set:
                pool.limit = max(pool.limit, size)
            if not pool.take(size):
                raise StartError(
                    f"node '{node.name}' of '{self._plan.name}': its model holds {format_bytes(size)}, "
                    f"more than is left of {pool.refusal}; raise it"
                )

    def _nn_door(self, node: NodePlan, counters: NodeCounters, pool: Pool) -> NodeDoor:
        from flowrt.nn.doors.node import NodeDoor

        graph, name, emit = self._plan.name, node.name, self._around.emit
        door = NodeDoor(
            self._around.models,
            node.models,
            memory=node.operation.resources.memory,
            report=lambda text: emit(GuestLogged(graph, name, "warn", text)),
            pool=pool,
            refusals=counters.nn_refused,
            deadline=node.operation.resources.deadline,
        )
        self.closers.append(door.close)
        self.beside[name] = [door.memory_bytes]
        self.model_runs[node.name] = door.runs
        door.warm_up()
        return door

    def _publisher(self, node: NodePlan, counters: NodeCounters) -> Callable[[Batch], None] | None:
        """Where `onError.topic` publishes: a sink of its own beside the graph's, behind an inbox of its own. The letter
        is in the store by then: while the broker is away the graph goes on, and the oldest copies give way, counted."""
        on_error = node.operation.on_error
        if on_error.topic is None:
            return None
        operation = SinkOperation(
            operation_type="sink",
            name=f"{node.name} onError",
            endpoint=on_error.endpoint or next(iter(self._plan.endpoints)),
            topic=on_error.topic,
        )
        sink = self._endpoints.sink(operation)
        inbox = Inbox(node.operation.resources.inbox, node.operation.resources.inbox_memory)
        self._side.append((Stage(f"{self._plan.name}/{operation.name}", inbox, sink.send, SIDE_BATCH, 0.0), sink))

        def publish(batch: Batch) -> None:
            try:
                left_out = inbox.offer(batch, drop_oldest=True)
            except Stopped:  # a broker may refuse a message while its graph already ends: the letter is kept
                left_out = [batch]
            if left_out:
                counters.drop("onErrorTopic", sum(map(len, left_out)))

        return publish


def guest_operator(operation: GuestOperation, factory: GuestFactory, counters: NodeCounters) -> Operator:
    """What runs an operation with a module."""
    match operation:
        case MapOperation():
            return MapOperator(factory)
        case FilterOperation():
            return FilterOperator(factory)
        case BranchOperation():
            return BranchOperator(factory)
        case DelayOperation():
            return DelayOperator(factory, operation.late, counters)
        case AccumulateOperation():
            return AccumulateOperator(factory, operation.late, counters, operation.resources.memory)
    raise FlowrtBug(f"nothing runs {type(operation).__name__}")


def alone(parts: tuple[Plan, Path, bool], emit: Emit) -> tuple[Operator, NodeCounters, Mapping[str, ModelCounters]]:
    """The operator of a plan's only node, for the process it has to itself, and what it counts there."""
    plan, state, interpreter = parts
    around = Surroundings(emit, state, interpreter=interpreter, alone=True)
    builder = Builder(plan, around)
    (node,) = plan.nodes.values()
    counters = builder._counters(node)
    limits = Limits(plan.name, node.name, node.operation.resources, counters, threading.Event(), emit)
    pool = Pool(node.operation.resources.memory, "its quota")
    operator = builder.operator(node, counters, None, limits, pool)
    return operator, counters, builder.model_runs.get(node.name, {})


def _in_thread(node: NodePlan) -> NodePlan:
    """The same node as its own process runs it: its parent keeps its share and its rates."""
    resources = node.operation.resources.model_copy(update={"isolation": "thread", "cpu": None})
    return replace(node, operation=node.operation.model_copy(update={"resources": resources}), targets=((),))


def _shared(plan: Plan, around: Surroundings) -> Shared:
    own = None if plan.budget.cpu is None else SharedBucket(plan.budget.cpu, monotonic())
    pool = around.pool
    if plan.budget.memory is not None:
        pool = Pool(plan.budget.memory, "the graph's budget", around.pool)
    endpoints = around.open_endpoints(
        plan.name, plan.endpoints, emit=around.emit, broker=around.broker, state=around.state
    )
    budgets = [bucket for bucket in (own, around.cpu) if bucket is not None]
    return Shared(around.stopping(), budgets, pool, endpoints, around.interrupt, own)


def build(plan: Plan, surroundings: Surroundings) -> RunningGraph:
    """Open everything a plan names and connect it. Nothing is started.

    Raises `StartError` for what the surroundings lack, and when a guest's init refuses or a model fails.
    """
    builder = Builder(plan, surroundings)
    try:
        return builder.build()
    except BaseException:
        builder.close()
        raise


def build_beside(graph: RunningGraph, plan: Plan, names: Iterable[str], around: Surroundings) -> dict[str, NodeParts]:
    """Open the named nodes of a plan beside a running graph that is to become it. Nothing is started.

    Raises `StartError` and `NodeFault` as `build` does; then nothing stays open.
    """
    builder = Builder(plan, around, graph)
    try:
        for name in names:
            builder.make(plan.nodes[name])
    except BaseException:
        builder.close()
        raise
    return builder.parts


def entrances_beside(
    graph: RunningGraph, plan: Plan, names: Iterable[str], around: Surroundings
) -> Mapping[str, Entrance]:
    """Ways in for the named sources of a plan that a running graph is to become. Nothing is opened."""
    builder = Builder(plan, around, graph)
    for name in names:
        node = plan.nodes[name]
        if isinstance(node.operation, SourceOperation):
            builder.enter(node, node.operation)
    return builder.entrances
