"""What cannot be right with operations that keep time."""

from __future__ import annotations

from collections.abc import Iterator

from flowrt.graph.facts import Facts, ModuleFacts
from flowrt.graph.graph import Graph
from flowrt.graph.timing import keeps_state, needs_time
from flowrt.graph.wiring import Wiring
from flowrt.operators.accumulate import AccumulateOperation
from flowrt.operators.base import Operation
from flowrt.operators.delay import DelayOperation
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.source import SourceOperation
from flowrt.problem import Problem


def check(graph: Graph, facts: Facts) -> Iterator[Problem]:
    """Problems of every operation that keeps messages until a time has passed."""
    for index, operation in enumerate(graph.file.operations):
        loc = ("operations", index)
        if operation.resources.isolation == "process" and (needs_time(operation) or keeps_state(operation)):
            message = (
                f"operation '{operation.name}' keeps messages, which a process of its own cannot; remove isolation"
            )
            yield graph.problem((*loc, "resources", "isolation"), "isolation-refused", message)
        if keeps_state(operation) and _keeps_nothing(operation, facts):
            message = f"the module of '{operation.name}' keeps no state (it exports no flowrt_save); remove keepState"
            yield graph.problem((*loc, "keepState"), "no-state", message)
        if _forgets(graph.wiring, operation, facts):
            message = (
                f"the state of '{operation.name}' is in memory only: after a stop or a crash it begins empty, although "
                "the messages that it came of were acknowledged; write `keepState: disk`, or `keepState: memory` where "
                "that may be"
            )
            yield graph.warning((*loc, "module"), "state-in-memory", message)
        if isinstance(operation, AccumulateOperation) and not _delayed(graph.wiring, operation.name):
            message = (
                f"no delay leads to accumulate '{operation.name}', so each message has a time of its own and is "
                "folded alone; put a delay before it"
            )
            yield graph.warning((*loc, "name"), "no-delay", message)


def _keeps_nothing(operation: Operation, facts: Facts) -> bool:
    module = facts.modules.get(operation.module) if isinstance(operation, GuestOperation) else None
    return isinstance(module, ModuleFacts) and "flowrt_save" not in module.exports


def _forgets(wiring: Wiring, operation: Operation, facts: Facts) -> bool:
    """Whether a module's state is lost that came of messages nobody sends again, and nobody has said that it may be."""
    if not isinstance(operation, GuestOperation) or needs_time(operation) or "keep_state" in operation.model_fields_set:
        return False
    module = facts.modules.get(operation.module)
    if not isinstance(module, ModuleFacts) or not {"flowrt_save", "flowrt_restore"} <= module.exports.keys():
        return False
    before = (wiring.operations[name] for name in wiring.upstream(operation.name))
    return any(isinstance(source, SourceOperation) and source.qos for source in before)


def _delayed(wiring: Wiring, name: str) -> bool:
    """Whether a delay leads to an operation, or nothing at all, which is said elsewhere."""
    before = wiring.upstream(name)
    return not before or any(isinstance(wiring.operations[each], DelayOperation) for each in before)
