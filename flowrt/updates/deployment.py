"""What ran, to the last byte: a graph's text and the digest of everything it names. A lock file, and a way back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from flowrt.graph.difference import Difference, essence
from flowrt.graph.plan import ModelUse, NodePlan, Plan
from flowrt.operators.guest_config import GuestOperation
from flowrt.options.text import text_of
from flowrt.values import Struct, asdict, field


class Deployment(Struct, frozen=True):
    """One version of one graph."""

    name: str
    version: str
    path: str
    """Where the file was: what it names by relative paths is looked for from there."""
    fingerprint: str
    """Of all that decides what it does."""
    text: str
    """Digest of the file's text."""
    modules: Mapping[str, str] = field(default_factory=dict)
    """Digest by name, as the graph spells it."""
    models: Mapping[str, str] = field(default_factory=dict)
    """Digest by path, as the graph spells it; those that the store can hold, and libraries of their operators."""

    @property
    def digests(self) -> set[str]:
        """Everything of the store that it needs."""
        return {self.text, *self.modules.values(), *self.models.values()}

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


ONE_FILE = frozenset(("onnx", "tensorflowlite", "pytorch", "ggml"))
"""Encodings of which one file is all there is. Models of others are used where they lie."""


def one_file(encoding: str) -> bool:
    """Whether the store can hold a model of this encoding."""
    return encoding in ONE_FILE


def with_fallbacks(node: NodePlan) -> Iterator[ModelUse]:
    """Every model that a node may come to use."""
    for use in node.models:
        each: ModelUse | None = use
        while each is not None:
            yield each
            each = each.fallback


def deployment_of(plan: Plan) -> Deployment:
    """What a plan runs."""
    text = "sha256:" + hashlib.sha256(plan.text.encode()).hexdigest()
    modules = {
        node.operation.module: node.module.digest
        for node in plan.nodes.values()
        if isinstance(node.operation, GuestOperation) and node.module is not None
    }
    uses = [use for node in plan.nodes.values() for use in with_fallbacks(node)]
    models = {use.options.path: use.facts.digest for use in uses if use.options and one_file(use.facts.encoding)}
    for use in uses:
        written = use.options.custom_operators if use.options else ()
        models |= {named.path: found.digest for named, found in zip(written, use.libraries, strict=False)}
    return Deployment(plan.name, plan.version, plan.path, fingerprint(plan), text, modules, models)


def deployment_from(value: Mapping[str, Any]) -> Deployment:
    """From what `as_json` gave. Raises ValueError for anything else."""
    try:
        found = Deployment(**value)
    except TypeError as error:
        raise ValueError(str(error)) from None
    texts = [found.name, found.version, found.path, found.fingerprint, found.text]
    maps = [*found.modules.items(), *found.models.items()]
    if not all(isinstance(text, str) for text in [*texts, *(part for pair in maps for part in pair)]):
        raise ValueError("a deployment is made of texts")
    return found


def fingerprint(plan: Plan) -> str:
    """Equal for plans that do the same."""
    ends = sorted((name, text_of(options)) for name, options in plan.endpoints.items())
    nodes = [(name, repr(essence(node, plan)), node.targets) for name, node in plan.nodes.items()]
    rest = (plan.name, plan.version, text_of(plan.budget), text_of(plan.updates))
    return _hash((rest, ends, nodes))


def attempt(plan: Plan, what: Difference) -> str:
    """What is tried when a graph is changed: equal for changes that would be tried for the second time."""
    nodes = [(name, repr(essence(plan.nodes[name], plan))) for name in what.made]
    wires = what.rewired or what.opened or what.beyond
    wiring = [(name, node.targets) for name, node in plan.nodes.items()] if wires else []
    ends = sorted((name, text_of(options)) for name, options in plan.endpoints.items()) if what.beyond else []
    sources = [(name, repr(essence(plan.nodes[name], plan))) for name in (*what.resubscribed, *what.opened)]
    more = [(what.closed, text_of(plan.budget))] if what.closed or what.budget else []
    return _hash((plan.name, nodes, what.removed, wiring, ends, sources, *more))


def _hash(value: object) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(value, default=list).encode()).hexdigest()
