"""What has to be done to a running graph so that it becomes another one. Pure: two plans in, names of nodes out."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import combinations
from pathlib import Path

from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.topics import overlap
from flowrt.graph.plan import ModelUse, NodePlan, Plan
from flowrt.graph.timing import keeping, keeps_state, needs_time
from flowrt.operators.base import Operation
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.operators.transform import TransformOperation
from flowrt.options import Options
from flowrt.options.text import text_of
from flowrt.values import Struct


class Difference(Struct, frozen=True):
    """Names of nodes, sources not among them, each in the order of the plan it stands in."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """In both plans, with other code, another model, other parameters or other limits."""
    resubscribed: tuple[str, ...] = ()
    """Sources that subscribe to other topics, or otherwise, at the same broker."""
    opened: tuple[str, ...] = ()
    """Sources more, at a broker that is read from already or at one more."""
    closed: tuple[str, ...] = ()
    """Sources less, at a broker that is still read from."""
    budget: bool = False
    """Whether what all nodes may use together is bounded otherwise."""
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
        ends = self.resubscribed or self.opened or self.closed
        return bool(self.made or self.gone or ends or self.budget or self.rewired or self.beyond)

    def __str__(self) -> str:
        if self.beyond:
            return f"restart, because {self.beyond}"
        added, removed = (*self.opened, *self.added), (*self.closed, *self.removed)
        parts = [("changed", self.changed), ("added", added), ("removed", removed)]
        words = [f"{word} {', '.join(names)}" for word, names in parts if names]
        words += [f"topics of {', '.join(self.resubscribed)}"] if self.resubscribed else []
        words += ["the graph's own resources"] if self.budget else []
        return "; ".join([*words, *(["connections"] if self.rewired else [])]) or "nothing"


def difference(running: Plan, wanted: Plan) -> Difference:
    """From what runs to what is wanted."""
    before, after = running.nodes, wanted.nodes
    both = [name for name in after if name in before]
    return Difference(
        added=tuple(name for name in after if name not in before and not is_source(after[name])),
        removed=tuple(name for name in before if name not in after and not is_source(before[name])),
        changed=tuple(
            name
            for name in both
            if not is_source(after[name]) and essence(before[name], running) != essence(after[name], wanted)
        ),
        resubscribed=_resubscribed(running, wanted),
        opened=_come(running, wanted),
        closed=_come(wanted, running),
        budget=running.budget != wanted.budget,
        rewired=_rewired(running, wanted),
        beyond=_beyond(running, wanted),
    )


def essence(node: NodePlan, plan: Plan) -> Hashable:
    """All that decides what a node does with a message: equal for nodes that need not be exchanged. Where a file lies
    does not matter, what it holds does."""
    module = None if node.module is None else node.module.digest
    models = tuple(_model(use) for use in node.models)
    home = Path(plan.path).parent if isinstance(node.operation, TransformOperation) else None
    return (
        text_of(node.operation, but=_PLACES),
        module, models, node.properties, node.schemas, node.nn, home,
    )  # fmt: skip


def _model(use: ModelUse) -> Hashable:
    options = text_of(use.options, but=_FILES) if use.options is not None else ""
    fallback = _model(use.fallback) if use.fallback is not None else None
    libraries = tuple(library.digest for library in use.libraries)
    return use.name, use.facts.digest, use.facts.encoding, use.target, options, fallback, libraries


_FILES = frozenset({"path", "sha256", "fallback", "custom_operators"})
"""Of a model, what names files whose digests count."""
_PLACES = frozenset({"description", "module", "sha256", "model"})
"""Of an operation, what is for people or names a file whose digest counts."""


def _beyond(running: Plan, wanted: Plan) -> str:
    if running.name != wanted.name:
        return "the graph has another name"
    if not _adjustable(running, wanted):
        return "the graph's own resources differ"
    if (kept := _kept(running, wanted)) is not None:
        return kept
    before, after = _sources(running), _sources(wanted)
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    come, left = _come(running, wanted), _come(wanted, running)
    if (come or left) and any(_keepers(plan) for plan in (running, wanted)):
        return f"it keeps windows or states on disk, and source {', '.join([*come, *left])} comes or goes"
    if last := sorted(name for name in left if not _at(wanted, _endpoint_of(running, name))):
        return f"source {', '.join(last)} is the last at its broker"
    if set(names) - {*_resubscribed(running, wanted), *come, *left}:
        return f"what is read differs at source {', '.join(names)}"
    used = _used(running), _used(wanted)
    both = used[0].keys() & used[1].keys()  # what is new is opened beside; sinks that go close what they used
    differ = sorted(name for name in both if used[0][name] != used[1][name])
    return f"endpoint {', '.join(differ)} differs" if differ else ""


def _kept(running: Plan, wanted: Plan) -> str | None:
    """Nodes that keep something on disk, and what leads marks to them, stay as they are while other nodes are
    exchanged. Where that is not enough, the graph goes on from its checkpoints."""
    keepers = [_keepers(plan) for plan in (running, wanted)]
    if not any(keepers):
        return None
    changed = sorted(
        name
        for name in set().union(*keepers)
        if name not in running.nodes
        or name not in wanted.nodes
        or (
            essence(running.nodes[name], running) != essence(wanted.nodes[name], wanted)
            and not _takes_over(running.nodes[name].operation, wanted.nodes[name].operation)
        )
    )
    if changed:
        return f"what {', '.join(changed)} keeps goes on from its checkpoint"
    if _rewired(running, wanted):
        return "it keeps windows or states on disk, and its connections differ"
    return None


def _takes_over(old: Operation, new: Operation) -> bool:
    """Whether a node that keeps something can go on with what the other keeps. A sliding window has given most of it to
    other windows already."""
    if type(old) is not type(new) or (needs_time(old), keeps_state(old)) != (needs_time(new), keeps_state(new)):
        return False
    return not any(isinstance(one, TransformOperation) and one.sliding is not None for one in (old, new))


def _keepers(plan: Plan) -> set[str]:
    return {name for name, node in plan.nodes.items() if needs_time(node.operation)} | keeping(plan)


def _adjustable(running: Plan, wanted: Plan) -> bool:
    """Whether what bounds the one bounds the other, if at another figure: who is charged was settled at the start."""
    one, other = running.budget, wanted.budget
    return (one.cpu is None, one.memory is None) == (other.cpu is None, other.memory is None)


def _come(running: Plan, wanted: Plan) -> tuple[str, ...]:
    """Sources that the wanted plan has more, at an MQTT broker where no two would get the same message and where one
    that is there stays, whose connection they share."""
    found = tuple(name for name, node in wanted.nodes.items() if is_source(node) and name not in running.nodes)
    return found if all(_beside(running, wanted, name) for name in found) else ()


def _beside(running: Plan, wanted: Plan, name: str) -> bool:
    operation = wanted.nodes[name].operation
    if not isinstance(operation, SourceOperation):
        return False
    options = wanted.endpoints.get(operation.endpoint or "")
    if not isinstance(options, MqttOptions):
        return False
    fresh = operation.endpoint not in _used(running)
    if not fresh and running.endpoints.get(operation.endpoint or "") != options:
        return False
    both = [_at(plan, operation.endpoint) for plan in (running, wanted)]
    silent = options.will is None and options.birth is None  # else the connection of the sinks has said them
    stays = both[0].keys() & both[1].keys() or (not both[0] and (fresh or silent))
    alone = not any(
        overlap(topic, other)
        for plan in both
        for topics, others in combinations(plan.values(), 2)
        for topic in topics
        for other in others
    )
    return bool(stays) and alone and not _overlapping(running, wanted, (name,))


def _at(plan: Plan, endpoint: str | None) -> dict[str, tuple[str, ...]]:
    """Topics by source of an endpoint."""
    operations = {name: node.operation for name, node in plan.nodes.items()}
    return {
        name: operation.topics
        for name, operation in operations.items()
        if isinstance(operation, SourceOperation) and operation.endpoint == endpoint
    }


def _endpoint_of(plan: Plan, name: str) -> str | None:
    operation = plan.nodes[name].operation
    return operation.endpoint if isinstance(operation, SourceOperation) else None


def _rewired(running: Plan, wanted: Plan) -> bool:
    before, after = running.nodes, wanted.nodes
    both = before.keys() & after.keys()
    return _layout(running) != _layout(wanted) or any(before[name].targets != after[name].targets for name in both)


def _resubscribed(running: Plan, wanted: Plan) -> tuple[str, ...]:
    """Sources of which only what they subscribe to differs, at an MQTT broker where no two sources would get the same
    message."""
    found = tuple(
        name
        for name, node in wanted.nodes.items()
        if name in running.nodes
        and isinstance(old := running.nodes[name].operation, SourceOperation)
        and isinstance(new := node.operation, SourceOperation)
        and _subscribes(old) != _subscribes(new)
        and _but_topics(old) == _but_topics(new)
        and isinstance(wanted.endpoints.get(new.endpoint or ""), MqttOptions)
    )
    return found if not _overlapping(running, wanted, found) else ()


def _subscribes(operation: SourceOperation) -> Hashable:
    return operation.topics, operation.qos, operation.retained


def _but_topics(operation: SourceOperation) -> str:
    return text_of(operation, but={"topics", "qos", "retained", "description"})


def _overlapping(running: Plan, wanted: Plan, names: tuple[str, ...]) -> bool:
    """Whether a source would subscribe to what another of its endpoint does, or has done until then."""
    sources = [
        node.operation
        for plan in (running, wanted)
        for node in plan.nodes.values()
        if isinstance(node.operation, SourceOperation)
    ]
    return any(
        overlap(one, topic)
        for name in names
        if isinstance(new := wanted.nodes[name].operation, SourceOperation)
        for other in sources
        if other.name != name and other.endpoint == new.endpoint
        for one in new.topics
        for topic in other.topics
    )


def _sources(plan: Plan) -> dict[str, str]:
    sources = {name: node.operation for name, node in plan.nodes.items() if is_source(node)}
    return {name: text_of(operation, but={"description"}) for name, operation in sources.items()}


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


def is_source(node: NodePlan) -> bool:
    """Whether a node reads from an endpoint."""
    return isinstance(node.operation, SourceOperation)
