"""A sound graph as a plan: the order of its nodes, and which of them share a thread.

Sources run on their endpoint's thread and have stage -1. Cheap neighbours are fused into one stage, because a hop
inside a stage is a function call and a hop between two is an inbox and a thread switch. A heavy node has a stage of
its own, so that it, or its being throttled, stalls no neighbour and uses another core.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flowrt.endpoints.file_config import STANDARD_STREAM, FileOptions
from flowrt.graph.facts import Facts, LibraryFacts, ModelFacts, ModuleFacts
from flowrt.graph.graph import Graph
from flowrt.graph.parameters import properties_of
from flowrt.graph.plan import ModelUse, NodePlan, Plan, StagePlan
from flowrt.graph.schemas import schemas_of
from flowrt.graph.timing import tries_in_place, with_order
from flowrt.graph.updates import NO_UPDATES
from flowrt.graph.worlds import is_component, uses_nn
from flowrt.operators.base import Operation
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.inference import InferenceOperation, ModelFile, ModelOptions
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.options import Options
from flowrt.quota.bucket import BURST_SECONDS
from flowrt.quota.resources import NO_BUDGET, Resources
from flowrt.values import Struct

SOURCE_STAGE = -1
LIGHT_MODEL_BYTES = 256 * 2**10
"""Weights above which a model's run takes longer than a hop between stages costs."""
BATCH = 256
"""Messages a stage takes at once, unless a model at its head says otherwise: enough to spread the cost of a hop
thinly, few enough that a batch of slow guest calls still passes within a deadline."""
STAGE_NODES_MAX = 64
"""Nodes of one stage call each other: more of them would come near Python's bound on nested calls."""


def plan(graph: Graph, facts: Facts, sets: Mapping[str, str]) -> Plan:
    """The plan of a graph that no check found an error in. `sets` are the values of `--set`."""
    stages = stages_of(graph, facts)
    number = {name: index for index, names in enumerate(stages) for name in names}
    wiring = graph.wiring
    nodes = {
        name: _node(graph, facts, with_order(wiring, name), number.get(name, SOURCE_STAGE), sets)
        for name in wiring.order()
    }
    metadata = graph.file.metadata
    return Plan(
        name=graph.name,
        version=metadata.version if metadata else "0.0.0",
        path=graph.path,
        nodes=nodes,
        stages=tuple(_stage(names, wiring.operations[names[0]]) for names in stages),
        budget=graph.file.resources or NO_BUDGET,
        updates=graph.file.updates or NO_UPDATES,
        text=graph.text,
        endpoints={endpoint.name: _located(endpoint.options, graph) for endpoint in graph.file.endpoints},
    )


def _located(options: Options, graph: Graph) -> Options:
    """A file's path, like a model's, is relative to the graph's folder."""
    if not isinstance(options, FileOptions) or str(options.path) == STANDARD_STREAM:
        return options
    return options.model_copy(update={"path": Path(graph.path).parent / options.path})


def stages_of(graph: Graph, facts: Facts) -> list[list[str]]:
    """Names by stage, each in the order in which batches reach them. Only a stage's first node is fed from outside."""
    wiring = graph.wiring
    stages: list[_Stage] = []
    stage_of: dict[str, _Stage | None] = {}
    for name in wiring.order():
        operation = wiring.operations[name]
        if isinstance(operation, SourceOperation):
            stage_of[name] = None
            continue
        heavy = is_heavy(operation, graph, facts)
        stage = _shared([stage_of[edge.source] for edge in wiring.incoming[name]])
        if stage is None or heavy or stage.heavy or len(stage.names) == STAGE_NODES_MAX:
            stage = _Stage([], heavy)
            stages.append(stage)
        stage.names.append(name)
        stage_of[name] = stage
    return [stage.names for stage in stages]


def is_heavy(operation: Operation, graph: Graph, facts: Facts) -> bool:
    """Whether a node needs a thread of its own: it may be throttled, waits for a batch to fill, runs long, or waits to
    try again."""
    if operation.resources.has_rate or tries_in_place(operation):
        return True
    if not isinstance(operation, InferenceOperation):
        return False
    model = facts.model(model_of(operation, graph))
    if not isinstance(model, ModelFacts) or not model.digest:  # the latter is on a server
        return True
    return operation.batch.wait > 0 or model.parameter_bytes > LIGHT_MODEL_BYTES


def model_of(operation: InferenceOperation, graph: Graph) -> ModelOptions:
    """The model an operation names or describes. Raises LookupError when no such model is listed."""
    if isinstance(operation.model, ModelOptions):
        return operation.model
    found = next((model for model in graph.file.models if model.name == operation.model), None)
    if found is None:
        raise LookupError(operation.model)
    return found


class _Stage(Struct, eq=False):
    names: list[str]
    heavy: bool


def _shared(upstream: list[_Stage | None]) -> _Stage | None:
    """The stage that all inputs come from, if there is one: a node that merges two stages is fed from an inbox."""
    first = upstream[0] if upstream else None
    return first if all(stage is first for stage in upstream) else None


def _stage(names: list[str], first: Operation) -> StagePlan:
    batching = first.batch if isinstance(first, InferenceOperation) else None
    return StagePlan(
        nodes=tuple(names),
        inbox=first.resources.inbox,
        inbox_bytes=first.resources.inbox_memory,
        batch=_batch(first.resources, batching.max if batching else BATCH),
        wait=batching.wait if batching else 0.0,
    )


def _batch(resources: Resources, most: int) -> int:
    """A node with a rate takes a burst's worth at once, so that it waits often and shortly."""
    if resources.message_rate is None:
        return most
    return max(1, min(most, int(resources.message_rate * BURST_SECONDS)))


def _node(graph: Graph, facts: Facts, operation: Operation, stage: int, sets: Mapping[str, str]) -> NodePlan:
    name = operation.name
    module = facts.modules.get(operation.module) if isinstance(operation, GuestOperation) else None
    module = module if isinstance(module, ModuleFacts) else None
    nn = module is not None and uses_nn(module)
    return NodePlan(
        name=name,
        operation=operation,
        targets=_targets(graph, name),
        stage=stage,
        module=module,
        models=_models(graph, facts, operation, module if nn else None),
        properties=_properties(graph, name, module, sets),
        schemas=schemas_of(graph, facts, operation, every=is_component(module)),
        nn=nn,
    )


def _targets(graph: Graph, name: str) -> tuple[tuple[str, ...], ...]:
    edges = graph.wiring.outgoing[name]
    if graph.wiring.has_arms(name):
        return tuple(tuple(edge.target for edge in edges if edge.arm == arm) for arm in ("False", "True"))
    if isinstance(graph.wiring.operations[name], SinkOperation):
        return ()
    return (tuple(edge.target for edge in edges),)


def _properties(
    graph: Graph, name: str, module: ModuleFacts | None, sets: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """What the graph gives, and what the module carries where the graph gives nothing."""
    carried = {} if module is None else dict(module.properties)
    return tuple({**carried, **dict(properties_of(graph.file, name, sets))}.items())


def _models(graph: Graph, facts: Facts, operation: Operation, module: ModuleFacts | None) -> tuple[ModelUse, ...]:
    """An inference node has its model under its own name; a guest may load by name every model of the graph, and those
    its module carries."""
    uses: list[tuple[str, ModelFile]] = []
    if isinstance(operation, InferenceOperation):
        uses = [(operation.name, model_of(operation, graph))]
    elif module is not None:
        carried = {model.name: ModelFile(path=model.path, encoding=model.encoding) for model in module.models}
        uses = list({**carried, **{model.name: model for model in graph.file.models}}.items())
    return tuple(use for name, model in uses if (use := _use(name, model, facts)) is not None)


def _use(name: str, model: ModelFile, facts: Facts) -> ModelUse | None:
    found = facts.model(model)
    if not isinstance(found, ModelFacts):
        return None
    fallback = _use(name, model.fallback, facts) if isinstance(model, ModelOptions) and model.fallback else None
    libraries = [facts.libraries.get(library.path) for library in model.custom_operators]
    known = tuple(library for library in libraries if isinstance(library, LibraryFacts))
    return ModelUse(name, found.signed(model.options), model.target, model, fallback, known)
