"""Which operations of a graph need logical time, and which have to pass it on to them."""

from __future__ import annotations

from flowrt.graph.plan import Plan
from flowrt.operators.accumulate import AccumulateOperation
from flowrt.operators.base import Operation
from flowrt.operators.concatenate import ConcatenateOperation
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.transform import TransformOperation


def needs_time(operation: Operation) -> bool:
    """Whether an operation keeps messages until a time has passed."""
    if isinstance(operation, TransformOperation):
        return "window" in operation.kinds
    if isinstance(operation, ConcatenateOperation):
        return operation.order == "time"
    return isinstance(operation, AccumulateOperation)


def relaying(plan: Plan) -> frozenset[str]:
    """The nodes that marks pass: those that need time, and all that leads to them; none in most graphs."""
    leading: set[str] = set()
    for name, node in reversed(list(plan.nodes.items())):  # connections point forward
        if needs_time(node.operation) or any(to in leading for port in node.targets for to in port):
            leading.add(name)
    return frozenset(leading)


def keeping(plan: Plan) -> frozenset[str]:
    """The nodes whose modules' state is kept on disk."""
    return frozenset(name for name, node in plan.nodes.items() if keeps_state(node.operation))


def keeps_state(operation: Operation) -> bool:
    """Whether a module's state is kept on disk. What an `accumulate` folds is, in any case."""
    return isinstance(operation, GuestOperation) and operation.keep_state == "disk" and not needs_time(operation)
