"""A graph resolved and ready to run: what `runtime` is built from. Plain data; making it is `planner`'s work."""

from __future__ import annotations

from collections.abc import Mapping

from flowrt.graph.facts import LibraryFacts, ModelFacts, ModuleFacts
from flowrt.graph.updates import NO_UPDATES, Updates
from flowrt.operators.base import Operation
from flowrt.operators.inference import ModelFile
from flowrt.options import Options
from flowrt.quota.resources import NO_BUDGET, Budget
from flowrt.values import Struct


class ModelUse(Struct, frozen=True):
    """A model as one node uses it."""

    name: str
    """The name a guest loads it by; for an inference node, its own."""
    facts: ModelFacts
    target: str = "cpu"
    options: ModelFile | None = None
    """As written, where it was written."""
    fallback: ModelUse | None = None
    """What takes its place where this machine lacks engine, memory or time."""
    libraries: tuple[LibraryFacts, ...] = ()
    """Of operators that the model uses beside its engine's own."""


class NodePlan(Struct, frozen=True):
    """One node: its operation as written, and what its names were resolved to."""

    name: str
    operation: Operation
    targets: tuple[tuple[str, ...], ...]
    """For each port the nodes it feeds; a branch has two ports, false first; a sink has none."""
    stage: int
    """Index into `Plan.stages`."""
    module: ModuleFacts | None = None
    models: tuple[ModelUse, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    """What the guest's `init` is given: configuration parameters with their values."""
    schemas: tuple[tuple[str, str, str], ...] = ()
    """Name, format and text of the graph's schemas that it uses: a component, whose `init` is given them, all."""
    nn: bool = False
    """Whether the guest may import wasi-nn."""


class StagePlan(Struct, frozen=True):
    """Operations that share one thread and one inbox."""

    nodes: tuple[str, ...]
    """In the order batches reach them; the first is fed from the inbox."""
    inbox: int
    """Messages that may wait."""
    inbox_bytes: int
    batch: int
    """Messages taken at once at most."""
    wait: float = 0.0
    """Seconds to wait for a batch to fill."""


class Plan(Struct, frozen=True):
    """A whole graph."""

    name: str
    version: str
    path: str
    nodes: Mapping[str, NodePlan]
    """In an order in which every connection points forward."""
    stages: tuple[StagePlan, ...]
    """Sources have no stage of their own: they run on their endpoint's thread. Their `NodePlan.stage` is -1."""
    endpoints: Mapping[str, Options]
    """By name: the endpoint's config model."""
    budget: Budget = NO_BUDGET
    """What all nodes may use together."""
    updates: Updates = NO_UPDATES
    """How it may be changed while it runs."""
    text: str = ""
    """The file it was made from."""
