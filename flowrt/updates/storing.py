"""What a plan names, kept in the store: the file beside the graph may be another one tomorrow."""

from __future__ import annotations

from pathlib import Path

from flowrt.graph.facts import ModelFacts
from flowrt.graph.plan import ModelUse, NodePlan, Plan
from flowrt.nn import onnx_file
from flowrt.registry.blobs import Blobs
from flowrt.updates.deployment import one_file, with_fallbacks
from flowrt.values import replace


def keep(blobs: Blobs, plan: Plan) -> None:
    """Raises OSError, and `Refused` when a file is no longer what was checked."""
    blobs.put(plan.text.encode())
    for node in plan.nodes.values():
        if node.module is not None:
            blobs.put_file(Path(node.module.path), node.module.digest)
        for use in with_fallbacks(node):
            if stands_alone(use.facts):
                blobs.put_file(Path(use.facts.path), use.facts.digest)
            for library in use.libraries:
                blobs.put_file(Path(library.path), library.digest)


def stands_alone(facts: ModelFacts) -> bool:
    """Whether a model is one file. Raises OSError."""
    if facts.encoding != "onnx":
        return one_file(facts.encoding)
    return not onnx_file.names_files(Path(facts.path).read_bytes())


def stored_plan(blobs: Blobs, plan: Plan) -> Plan:
    """The plan with every module and model taken from the store, where it is there."""
    return replace(plan, nodes={name: _stored(blobs, node) for name, node in plan.nodes.items()})


def _stored(blobs: Blobs, node: NodePlan) -> NodePlan:
    module = node.module
    if module is not None and blobs.whole(module.digest):
        module = replace(module, path=str(blobs.path(module.digest)))
    return replace(node, module=module, models=tuple(_model(blobs, use) for use in node.models))


def _model(blobs: Blobs, use: ModelUse) -> ModelUse:
    facts, fallback = use.facts, use.fallback
    if one_file(facts.encoding) and blobs.whole(facts.digest):
        facts = replace(facts, path=str(blobs.path(facts.digest)))
    libraries = tuple(
        replace(library, path=str(blobs.path(library.digest))) if blobs.whole(library.digest) else library
        for library in use.libraries
    )
    fallback = _model(blobs, fallback) if fallback is not None else None
    return replace(use, facts=facts, fallback=fallback, libraries=libraries)
