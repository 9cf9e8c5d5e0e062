"""What has to be done to a running graph so that it becomes another one. Pure: two plans in, names of nodes out."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from flowrt.graph.plan import ModelUse, NodePlan, Plan
from flowrt.graph.timing import keeping, relaying
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.operators.transform import TransformOperation
from flowrt.options import Options


@dataclass(frozen=True, slots=True)
class Difference:
    """Names of nodes, sources not among them, each in the order of the plan it stands in."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """In both plans, with other code, another model, other parameters or other limits."""
    rewired: bool = False
    """Whether connections or the division into stages differ."""
    beyond: str = ""
    """Why it cannot be done while the graph runs: what differs of its ends or its budget. Such a graph is drained and
    started anew; its sessions at the broker bridge the gap. Empty: it can."""

    @property
    def made(self) -> tuple[str, ...]:
        """The nodes that have to be made."""
        return (*self.changed, *self.added)

    @property
    def gone(self) -> tuple[str, ...]:
        """The nodes that have to go."""
        return (*self.changed, *self.removed)

    def __bool__(self) -> bool:
        return bool(self.made or self.gone or self.rewired or self.beyond)

    def __str__(self) -> str:
        if self.beyond:
            return f"restart, because {self.beyond}"
        parts = [("changed", self.changed), ("added", self.added), ("removed", self.removed)]
        words = [f"{word} {', '.join(names)}" for word, names in parts if names]
        return "; ".join([*words, *(["connections"] if self.rewired else [])]) or "nothing"


def difference(running: Plan, wanted: Plan) -> Difference:
    """From what runs to what is wanted."""
    before, after = running.nodes, wanted.nodes
    both = [name for name in after if name in before]
    return Difference(
        added=tuple(name for name in after if name not in before and not _is_source(after[name])),
        removed=tuple(name for name in before if name not in after and not _is_source(before[name])),
        changed=tuple(
            name
            for name in both
            if not _is_source(after[name]) and essence(before[name], running) != essence(after[name], wanted)
        ),
        rewired=_layout(running) != _layout(wanted)
        or any(before[name].targets != after[name].targets for name in both),
        beyond=_beyond(running, wanted),
    )


def essence(node: NodePlan, plan: Plan) -> Hashable:
    """All that decides what a node does with a message: equal for nodes that need not be exchanged. Where a file lies
    does not matter, what it holds does."""
    module = None if node.module is None else node.module.digest
    models = tuple(_model(use) for use in node.models)
    home = Path(plan.path).parent if isinstance(node.operation, TransformOperation) else None
    return (
        node.operation.model_dump_json(exclude=_PLACES),
        module, models, node.properties, node.schemas, node.nn, home,
    )  # fmt: skip


def _model(use: ModelUse) -> Hashable:
    options = use.options.model_dump_json(exclude=_FILES) if use.options is not None else ""
    fallback = _model(use.fallback) if use.fallback is not None else None
    libraries = tuple(library.digest for library in use.libraries)
    return use.name, use.facts.digest, use.facts.encoding, use.target, options, fallback, libraries


_FILES = {"path": True, "sha256": True, "fallback": True, "custom_operators": True}
"""Of a model, what names files whose digests count."""
_PLACES = {"description": True, "module": True, "sha256": True, "model": True}
"""Of an operation, what is for people or names a file whose digest counts."""


def _beyond(running: Plan, wanted: Plan) -> str:
    if running.name != wanted.name:
        return "the graph has another name"
    if running.budget != wanted.budget:
        return "the graph's own resources differ"
    if relaying(running) or relaying(wanted):
        return "it keeps logical time, whose windows go on from their checkpoints"
    if keeping(running) or keeping(wanted):
        return "it keeps states of modules on disk"
    before, after = _sources(running), _sources(wanted)
    if before != after:
        names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        return f"what is read differs at source {', '.join(names)}"
    used = _used(running), _used(wanted)
    differ = sorted(name for name in {*used[0], *used[1]} if used[0].get(name) != used[1].get(name))
    return f"endpoint {', '.join(differ)} differs" if differ else ""


def _sources(plan: Plan) -> dict[str, str]:
    sources = {name: node.operation for name, node in plan.nodes.items() if _is_source(node)}
    return {name: operation.model_dump_json(exclude={"description"}) for name, operation in sources.items()}


def _used(plan: Plan) -> dict[str, Options | None]:
    """The endpoints that something reads from or sends to."""
    operations = [node.operation for node in plan.nodes.values()]
    names = {one.endpoint for one in operations if isinstance(one, SourceOperation | SinkOperation) and one.endpoint}
    for operation in operations:
        if operation.on_error.topic is not None:
            names.add(operation.on_error.endpoint or next(iter(plan.endpoints), ""))
    return {name: plan.endpoints.get(name) for name in names}


def _layout(plan: Plan) -> tuple[tuple[str, ...], ...]:
    return tuple(stage.nodes for stage in plan.stages)


def _is_source(node: NodePlan) -> bool:
    return isinstance(node.operation, SourceOperation)
