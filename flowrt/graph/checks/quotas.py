"""Quotas against the graph's budget and the machine, and outcomes that an operation cannot have.

Against the machine only what is declared is summed: defaults bound a fault, they are not a plan. Against a graph's own
budget of memory every quota counts, because the budget is enforced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from flowrt.graph.facts import Facts, Machine, ModelFacts
from flowrt.graph.graph import Graph
from flowrt.graph.plan import Plan
from flowrt.graph.planner import model_of
from flowrt.operators.base import Operation
from flowrt.operators.filter import FilterOperation
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.inference import InferenceOperation
from flowrt.operators.map import MapOperation
from flowrt.operators.source import SourceOperation
from flowrt.problem import Problem, Severity
from flowrt.quota.quantity import format_bytes
from flowrt.quota.resources import NO_BUDGET

_BYPASSABLE = (MapOperation, FilterOperation, InferenceOperation)
_OVER = {
    ("cpu", "graph"): "cpu-over-graph",
    ("memory", "graph"): "memory-over-graph",
    ("cpu", "machine"): "cpu-over-machine",
    ("memory", "machine"): "memory-over-machine",
}


def check(graph: Graph, facts: Facts) -> Iterator[Problem]:
    """Warnings where a sum cannot hold, which stand at the largest share and name the largest few; errors where an
    operation cannot do what is asked of it at a limit."""
    yield from _outcomes(graph)
    yield from _models(graph, facts)
    operations = list(enumerate(graph.file.operations))
    cpu = {index: op.resources.declared_cpu for index, op in operations if op.resources.cpu is not None}
    memory = {index: op.resources.memory for index, op in operations if "memory" in op.resources.model_fields_set}
    budget = graph.file.resources or NO_BUDGET
    if budget.cpu is not None and sum(cpu.values()) > budget.cpu:
        yield _over(graph, "cpu", cpu, "graph", f"{budget.cpu:g}")
    every = {index: op.resources.memory for index, op in operations if holds_memory(op)}
    if budget.memory is not None and sum(every.values()) > budget.memory:
        yield _over(graph, "memory", every, "graph", format_bytes(budget.memory))
    if facts.machine is None:
        return
    if _capped(sum(cpu.values()), budget.cpu) > facts.machine.cores:
        yield _over(graph, "cpu", cpu, "machine", f"{facts.machine.cores:g}")
    if _capped(sum(memory.values()), budget.memory) > facts.machine.memory_bytes:
        yield _over(graph, "memory", memory, "machine", format_bytes(facts.machine.memory_bytes))


def check_together(plans: Sequence[Plan], machine: Machine) -> Iterator[Problem]:
    """Warnings where graphs that fit the machine one by one do not fit it together."""
    if len(plans) < 2:
        return
    names = ", ".join(f"'{plan.name}'" for plan in plans)
    path = plans[0].path
    cpus = [_declared_cpu(plan) for plan in plans]
    if sum(cpus) > machine.cores >= max(cpus):
        message = f"the declared cpu of {names} adds up to {sum(cpus):g} cores, and the machine has {machine.cores:g}"
        yield Problem(path, 1, 1, "cpu-over-machine", message, severity=Severity.WARNING)
    sizes = [_declared_memory(plan) for plan in plans]
    if sum(sizes) > machine.memory_bytes >= max(sizes):
        has = format_bytes(machine.memory_bytes)
        message = f"the declared memory of {names} adds up to {format_bytes(sum(sizes))}, and the machine has {has}"
        yield Problem(path, 1, 1, "memory-over-machine", message, severity=Severity.WARNING)


def holds_memory(operation: Operation) -> bool:
    """Whether its `memory` bounds something of its own: a guest or a model."""
    return isinstance(operation, GuestOperation | InferenceOperation)


def _declared_cpu(plan: Plan) -> float:
    return _capped(sum(op.resources.declared_cpu for op in _operations(plan)), plan.budget.cpu)


def _declared_memory(plan: Plan) -> float:
    declared = [op.resources.memory for op in _operations(plan) if "memory" in op.resources.model_fields_set]
    return _capped(sum(declared), plan.budget.memory)


def _operations(plan: Plan) -> Iterable[Operation]:
    return [node.operation for node in plan.nodes.values()]


def _capped(total: float, budget: float | None) -> float:
    return total if budget is None else min(total, budget)


def _outcomes(graph: Graph) -> Iterator[Problem]:
    for index, operation in enumerate(graph.file.operations):
        resources = operation.resources
        for field in ("at_limit", "at_fault"):
            if getattr(resources, field) == "bypass" and not isinstance(operation, _BYPASSABLE):
                loc = ("operations", index, "resources", "atLimit" if field == "at_limit" else "atFault")
                kind = getattr(operation, "operation_type", "operation")
                yield graph.problem(loc, "no-bypass", f"messages cannot bypass a {kind}; use another outcome")
        if resources.isolation == "process" and not holds_memory(operation):
            message = "only guests and models run in a process of their own; remove isolation"
            yield graph.warning(("operations", index, "resources", "isolation"), "quota-without-effect", message)
        if isinstance(operation, SourceOperation) and resources.cpu is not None:
            message = "a source runs on its endpoint's thread, which no cpu quota bounds; limit its messageRate"
            yield graph.warning(("operations", index, "resources", "cpu"), "quota-without-effect", message)


def _models(graph: Graph, facts: Facts) -> Iterator[Problem]:
    """Models whose weights alone are more than the quota declared for them."""
    for index, operation in enumerate(graph.file.operations):
        if not isinstance(operation, InferenceOperation) or "memory" not in operation.resources.model_fields_set:
            continue
        with contextlib.suppress(LookupError):  # an unknown model is reported elsewhere
            model = facts.model(model_of(operation, graph))
            quota = operation.resources.memory
            if isinstance(model, ModelFacts) and model.parameter_bytes > quota:
                has, may = format_bytes(model.parameter_bytes), format_bytes(quota)
                message = f"its model's weights are {has}, and resources.memory is {may}; raise it"
                yield graph.problem(("operations", index, "resources", "memory"), "memory-above-quota", message)


def _over(graph: Graph, what: str, shares: Mapping[int, float], whose: str, has: str) -> Problem:
    largest = sorted(shares, key=lambda index: -shares[index])[:3]
    names = ", ".join(f"'{graph.file.operations[index].name}'" for index in largest)
    total = f"{sum(shares.values()):g} cores" if what == "cpu" else format_bytes(sum(shares.values()))
    owner = "the graph's own budget is" if whose == "graph" else "the machine has"
    quotas = (
        "memory of all operations, defaults included,"
        if (what, whose) == ("memory", "graph")
        else (f"declared {what} of all operations")
    )
    message = f"the {quotas} adds up to {total}, and {owner} {has}; lower some, the largest are {names}"
    return graph.warning(("operations", largest[0], "resources", what), _OVER[what, whose], message)
