"""Which operations of a graph need logical time, and which have to pass it on to them."""

from __future__ import annotations

from flowrt.graph.plan import Plan
from flowrt.graph.wiring import Wiring
from flowrt.operators.accumulate import AccumulateOperation
from flowrt.operators.base import Operation
from flowrt.operators.concatenate import ConcatenateOperation
from flowrt.operators.delay import DelayOperation
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.sink import SinkOperation
from flowrt.operators.transform import TransformOperation


def needs_time(operation: Operation) -> bool:
    """Whether an operation keeps messages until a time has passed."""
    if isinstance(operation, TransformOperation):
        return "window" in operation.kinds
    if isinstance(operation, ConcatenateOperation):
        return operation.order == "time"
    return isinstance(operation, AccumulateOperation)


def tries_in_place(operation: Operation) -> bool:
    """Whether a message that failed is tried again before any other is handled: what a node keeps depends on the order
    in which messages come, so none may pass the one that waits."""
    return operation.on_error.policy == "retry" and (needs_time(operation) or keeps_state(operation))


def with_order(wiring: Wiring, name: str) -> Operation:
    """An operation; a `concatenate` that leaves its order open with the one that it has at its place."""
    operation = wiring.operations[name]
    if not isinstance(operation, ConcatenateOperation) or operation.order is not None:
        return operation
    alone = operation.resources.isolation == "process"  # it could keep nothing there
    waits = not alone and _behind_time(wiring, name) and _before_a_sink(wiring, name)
    return operation.model_copy(update={"order": "time" if waits else "arrival"})


def _behind_time(wiring: Wiring, name: str) -> bool:
    """Whether something that keeps messages or moves their times leads to it."""
    return any(
        isinstance(operation, DelayOperation) or needs_time(operation)
        for operation in map(wiring.operations.__getitem__, wiring.upstream(name))
    )


def _before_a_sink(wiring: Wiring, name: str) -> bool:
    """Whether messages reach a sink from it without waiting for their time on the way."""
    due, seen = [name], {name}
    while due:
        for edge in wiring.outgoing[due.pop()]:
            operation = wiring.operations[edge.target]
            if isinstance(operation, SinkOperation):
                return True
            by_time = isinstance(operation, ConcatenateOperation) and operation.order != "arrival"
            if edge.target not in seen and not by_time and not isinstance(operation, AccumulateOperation):
                seen.add(edge.target)
                due.append(edge.target)
    return False


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
