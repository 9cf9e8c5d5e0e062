"""Which graphs `--workers` can divide: those in which no topic's messages meet another's."""

from __future__ import annotations

from collections.abc import Iterator

from flowrt.endpoints.file_config import FileOptions
from flowrt.graph.plan import NodePlan, Plan
from flowrt.operators.accumulate import AccumulateOperation
from flowrt.operators.concatenate import ConcatenateOperation
from flowrt.operators.decode import DecodeOperation
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.sink import SinkOperation
from flowrt.operators.transform import TransformOperation
from flowrt.problem import Problem

_STORE = "state-store"


def objections(plan: Plan) -> Iterator[Problem]:
    """A problem for each node that several processes cannot share."""
    for node in plan.nodes.values():
        words = _objection(plan, node)
        if words is not None:
            message = f"operation '{node.name}': {words}"
            yield Problem(plan.path, 1, 1, "not-for-workers", message, node.name)


def _objection(plan: Plan, node: NodePlan) -> str | None:
    match node.operation:
        case ConcatenateOperation(order="time"):
            return "it orders messages of all topics; run the graph without --workers"
        case AccumulateOperation():
            return "it gathers messages of all topics; run the graph without --workers"
        case SinkOperation(endpoint=name) if isinstance(plan.endpoints.get(name or ""), FileOptions):
            return "several processes would write one file; run the graph without --workers"
        case TransformOperation() | DecodeOperation() as operation:
            words = operation.across_topics
            return f"{words}; run the graph without --workers" if words else None
        case GuestOperation(keep_state="disk"):
            return "its module's state is on disk, which several processes would write; run the graph without --workers"
        case GuestOperation(state="perTopic"):
            return None
    if node.module is None:
        return None
    if "flowrt_save" in node.module.exports:
        return (
            f"the module {node.module.path} keeps state (it exports flowrt_save); write `state: perTopic` if it keeps "
            "each topic's apart, or run the graph without --workers"
        )
    if any(_STORE in module for module, _, _ in node.module.imports):
        return "it uses the state store, which all topics share; run the graph without --workers"
    return None
